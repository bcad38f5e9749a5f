//! The bytes of D-Bus messages (D-Bus Specification, "Message Protocol"): what is needed to call systemd and to
//! understand its answers.

use std::fmt;

/// A value of a message, with the types that systemd's properties have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Byte(u8),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Text(String),
    /// With the signature of one element, since there may be none.
    Array(&'static str, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// A name and a value: how systemd takes properties, `(sv)`.
    pub fn property(name: &str, value: Value) -> Value {
        Value::Struct(vec![Value::text(name), Value::Variant(Box::new(value))])
    }

    pub fn signature(&self) -> String {
        match self {
            Value::Bool(_) => "b".into(),
            Value::Byte(_) => "y".into(),
            Value::Int32(_) => "i".into(),
            Value::Uint32(_) => "u".into(),
            Value::Int64(_) => "x".into(),
            Value::Uint64(_) => "t".into(),
            Value::Text(_) => "s".into(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Struct(fields) => format!("({})", fields.iter().map(Value::signature).collect::<String>()),
            Value::Variant(_) => "v".into(),
        }
    }
}

/// Writes little-endian, whatever the machine: the first byte of a message says which it is.
#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.align(N);
        self.0.extend(bytes);
    }

    fn text(&mut self, text: &str) {
        self.number((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.number(u32::from(*value).to_le_bytes()),
            Value::Byte(value) => self.0.push(*value),
            Value::Int32(value) => self.number(value.to_le_bytes()),
            Value::Uint32(value) => self.number(value.to_le_bytes()),
            Value::Int64(value) => self.number(value.to_le_bytes()),
            Value::Uint64(value) => self.number(value.to_le_bytes()),
            Value::Text(text) => self.text(text),
            Value::Array(element, values) => self.array(element, values),
            Value::Struct(fields) => {
                self.align(8);
                fields.iter().for_each(|field| self.value(field));
            }
            Value::Variant(value) => {
                self.signature(&value.signature());
                self.value(value);
            }
        }
    }

    /// The length counts neither itself nor the padding before the first element, which is there without elements too.
    fn array(&mut self, element: &str, values: &[Value]) {
        self.number(0u32.to_le_bytes());
        let length_at = self.0.len() - 4;
        self.align(match element.as_bytes()[0] {
            b'y' | b'g' | b'v' => 1,
            b'x' | b't' | b'd' | b'(' | b'{' => 8,
            _ => 4,
        });
        let start = self.0.len();
        values.iter().for_each(|value| self.value(value));
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// One field of a header: a code and a variant, whose type may be one that no body here has.
    fn field(&mut self, code: u8, kind: &str, text: &str) {
        self.align(8);
        self.0.push(code);
        self.signature(kind);
        match kind {
            "g" => self.signature(text),
            _ => self.text(text),
        }
    }
}

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;
const VERSION: u8 = 1;

/// Codes of header fields.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A method to be called.
pub struct Call<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    pub body: &'a [Value],
}

impl Call<'_> {
    /// The message with this serial number.
    pub fn message(&self, serial: u32) -> Vec<u8> {
        let mut body = Writer::default();
        self.body.iter().for_each(|value| body.value(value));
        let mut message = Writer(vec![b'l', METHOD_CALL, 0, VERSION]);
        message.number((body.0.len() as u32).to_le_bytes());
        message.number(serial.to_le_bytes());
        message.number(0u32.to_le_bytes());
        message.field(PATH, "o", self.path);
        message.field(INTERFACE, "s", self.interface);
        message.field(MEMBER, "s", self.member);
        message.field(DESTINATION, "s", self.destination);
        if !self.body.is_empty() {
            message.field(SIGNATURE, "g", &self.body.iter().map(Value::signature).collect::<String>());
        }
        let fields = (message.0.len() - FIELDS_AT) as u32;
        message.0[FIELDS_AT - 4..FIELDS_AT].copy_from_slice(&fields.to_le_bytes());
        message.align(8);
        message.0.extend(body.0);
        message.0
    }
}

/// Where a header's array of fields starts.
const FIELDS_AT: usize = 16;

/// The specification's bound; what claims more is no message.
const LONGEST: usize = 128 << 20;

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Return { to: u32, body: Body },
    Error { to: u32, name: String, body: Body },
    Signal { member: String, body: Body },
    Other,
}

/// The arguments of a message, not taken apart yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    big: bool,
    signature: String,
    bytes: Vec<u8>,
}

/// Bytes that are no message.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what came back is no D-Bus message")
    }
}

impl std::error::Error for Malformed {}

impl Body {
    /// The leading arguments that are text or numbers, as text; stops at the first of another type.
    pub fn words(&self) -> Vec<String> {
        let mut reader = Reader { bytes: &self.bytes, at: 0, big: self.big };
        let word = |kind: char| match kind {
            's' | 'o' => reader.text().ok(),
            'u' => reader.number().ok().map(|number| number.to_string()),
            'v' => reader.signature().ok().filter(|inner| inner == "s").and_then(|_| reader.text().ok()),
            _ => None,
        };
        self.signature.chars().map_while(word).collect()
    }
}

/// The length of the message that begins here, once its first 16 bytes are there.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.len() < FIELDS_AT {
        return Ok(None);
    }
    let big = endianness(bytes[0])?;
    let mut reader = Reader { bytes, at: 4, big };
    let body = reader.number()? as usize;
    reader.at = FIELDS_AT - 4;
    let fields = reader.number()? as usize;
    if body > LONGEST || fields > LONGEST {
        return Err(Malformed);
    }
    Ok(Some((FIELDS_AT + fields).next_multiple_of(8) + body))
}

fn endianness(first: u8) -> Result<bool, Malformed> {
    match first {
        b'l' => Ok(false),
        b'B' => Ok(true),
        _ => Err(Malformed),
    }
}

/// Takes one whole message apart.
pub fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    let big = endianness(*bytes.first().ok_or(Malformed)?)?;
    let mut reader = Reader { bytes, at: FIELDS_AT - 4, big };
    let end = FIELDS_AT + reader.number()? as usize;
    let (mut member, mut name, mut to) = (String::new(), String::new(), 0);
    let mut body = Body { big, ..Body::default() };
    while reader.at < end {
        reader.align(8);
        let code = reader.byte()?;
        match (code, reader.signature()?.as_str()) {
            (MEMBER, "s") => member = reader.text()?,
            (ERROR_NAME, "s") => name = reader.text()?,
            (REPLY_SERIAL, "u") => to = reader.number()?,
            (SIGNATURE, "g") => body.signature = reader.signature()?,
            (_, "s" | "o") => drop(reader.text()?),
            (_, "u") => drop(reader.number()?),
            (_, "g") => drop(reader.signature()?),
            _ => return Err(Malformed),
        }
    }
    body.bytes = bytes.get(end.next_multiple_of(8)..).ok_or(Malformed)?.to_vec();
    Ok(match bytes[1] {
        METHOD_RETURN => Message::Return { to, body },
        ERROR => Message::Error { to, name, body },
        SIGNAL => Message::Signal { member, body },
        _ => Message::Other,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big: bool,
}

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, length: usize) -> Result<&[u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.align(4);
        let big = self.big;
        let bytes = self.take(4)?.try_into().map_err(|_| Malformed)?;
        Ok(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.number()? as usize;
        self.terminated(length)
    }

    fn signature(&mut self) -> Result<String, Malformed> {
        let length = usize::from(self.byte()?);
        self.terminated(length)
    }

    fn terminated(&mut self, length: usize) -> Result<String, Malformed> {
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).map_err(|_| Malformed)
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
