//! Expected bytes are laid out by hand from the D-Bus Specification, "Marshaling".

use super::*;

fn body(values: &[Value]) -> Vec<u8> {
    let mut writer = Writer::default();
    values.iter().for_each(|value| writer.value(value));
    writer.0
}

#[test]
fn numbers_are_aligned_to_their_size() {
    assert_eq!(body(&[Value::Byte(1), Value::Uint32(2)]), [1, 0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(body(&[Value::Byte(1), Value::Uint64(2)]), [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(body(&[Value::Bool(true), Value::Int32(-1)]), [1, 0, 0, 0, 255, 255, 255, 255]);
}

#[test]
fn text_and_variants() {
    assert_eq!(body(&[Value::text("foo")]), b"\x03\0\0\0foo\0");
    assert_eq!(body(&[Value::Variant(Box::new(Value::Uint64(5)))]), b"\x01t\0\0\0\0\0\0\x05\0\0\0\0\0\0\0");
}

#[test]
fn the_padding_before_an_arrays_first_element_is_not_counted() {
    assert_eq!(body(&[Value::Array("u", vec![Value::Uint32(7)])]), b"\x04\0\0\0\x07\0\0\0");
    assert_eq!(body(&[Value::Array("(sv)", vec![])]), b"\0\0\0\0\0\0\0\0");
    let properties = Value::Array("(sv)", vec![Value::property("A", Value::Bool(true))]);
    assert_eq!(properties.signature(), "a(sv)");
    //                                length    padding   "A"              "b"      padding  true
    assert_eq!(body(&[properties]), b"\x10\0\0\0\0\0\0\0\x01\0\0\0A\0\x01b\0\0\0\0\x01\0\0\0");
}

#[test]
fn a_call_to_the_byte() {
    let call = Call { destination: "d.e", path: "/p", interface: "i.f", member: "M", body: &[Value::text("x")] };
    let expected: &[u8] = b"l\x01\0\x01\x06\0\0\0\x09\0\0\0\x4f\0\0\0\
        \x01\x01o\0\x02\0\0\0/p\0\0\0\0\0\0\
        \x02\x01s\0\x03\0\0\0i.f\0\0\0\0\0\
        \x03\x01s\0\x01\0\0\0M\0\0\0\0\0\0\0\
        \x06\x01s\0\x03\0\0\0d.e\0\0\0\0\0\
        \x08\x01g\0\x01s\0\0\
        \x01\0\0\0x\0";
    let message = call.message(9);
    // The array of fields ends before the padding to the body.
    assert_eq!(message[12], 0x47);
    let mut expected = expected.to_vec();
    expected[12] = 0x47;
    assert_eq!(message, expected);
    assert_eq!(length(&message), Ok(Some(message.len())));
}

/// A reply as a little- and a big-endian machine sends it.
#[test]
fn replies_of_both_endiannesses() {
    let little: &[u8] = b"l\x03\x01\x01\x06\0\0\0\x05\0\0\0\x1d\0\0\0\
        \x05\x01u\0\x09\0\0\0\x04\x01s\0\x03\0\0\0a.b\0\0\0\0\0\x08\x01g\0\x01s\0\0\0\0\0\0\0\0";
    // Two fields of 8 and 16 bytes, the third of 7; then the padding and the body.
    let mut little = little[..16 + 24 + 7].to_vec();
    little[12] = 24 + 7;
    little.resize(48, 0);
    little.extend(b"\x01\0\0\0x\0");
    let expected = |big| Message::Error {
        to: 9,
        name: "a.b".into(),
        body: Body {
            big,
            signature: "s".into(),
            bytes: if big { b"\0\0\0\x01x\0".to_vec() } else { b"\x01\0\0\0x\0".to_vec() },
        },
    };
    assert_eq!(parse(&little), Ok(expected(false)));
    let mut big = little.clone();
    big[0] = b'B';
    for at in [4, 8, 12, 20, 28, 48] {
        big[at..at + 4].reverse();
    }
    assert_eq!(length(&big), Ok(Some(big.len())));
    assert_eq!(parse(&big), Ok(expected(true)));
    let Message::Error { body, .. } = parse(&big).unwrap() else { panic!() };
    assert_eq!(body.words(), ["x"]);
}

#[test]
fn a_signals_words() {
    let signal = [Value::Uint32(7), Value::text("/job/7"), Value::text("a.scope"), Value::text("done")];
    let body = Body { big: false, signature: "uoss".into(), bytes: body(&signal) };
    assert_eq!(body.words(), ["7", "/job/7", "a.scope", "done"]);
}

#[test]
fn garbage_is_no_message() {
    assert_eq!(length(b"l\x01"), Ok(None));
    assert_eq!(length(&[b'x'; 16]), Err(Malformed));
    assert_eq!(length(b"l\x01\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), Err(Malformed));
    let call = Call { destination: "d", path: "/", interface: "i", member: "M", body: &[Value::text("x")] };
    let whole = call.message(1);
    for end in 0..whole.len() {
        let _ = parse(&whole[..end]);
    }
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0xff;
        let _ = length(&broken);
        let _ = parse(&broken);
    }
}
