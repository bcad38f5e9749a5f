//! Lists of CPUs or memory nodes, such as `0-3,7`, as the bit masks that the kernel takes.

use anyhow::{Result, bail};

/// A bit for each number, lowest first.
pub type Mask = Vec<u64>;

/// Reads a comma-separated list of numbers and ranges, all below `limit`; a mask of `limit` bits.
pub fn parse(text: &str, limit: usize) -> Result<Mask> {
    let number = |part: &str| match part.parse::<usize>() {
        Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => match number {
            number if number < limit => Ok(number),
            number => bail!("{number} is not below {limit}"),
        },
        _ => bail!("{text:?} is not a list of numbers and ranges, such as \"0-3,7\""),
    };
    let mut mask = vec![0; limit.div_ceil(64)];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            bail!("the range {part} runs backwards");
        }
        for i in first..=last {
            mask[i / 64] |= 1 << (i % 64);
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn lists() {
        assert_eq!(parse("0-3,7", 64).unwrap(), [0x8f]);
        assert_eq!(parse("0", 64).unwrap(), [1]);
        assert_eq!(parse("63-64,127", 128).unwrap(), [1 << 63, 1 | 1 << 63]);
        assert_eq!(parse("1,1,0-1", 64).unwrap(), [3]);
        for bad in ["", ",", "1,", "1,,2", "a", "-1", "1-", "1-2-3", "+1", " 1", "0x1", "99999999999999999999999"] {
            let text = parse(bad, 64).unwrap_err().to_string();
            assert!(text.contains("is not a list of numbers and ranges"), "{bad}: {text}");
        }
        assert_eq!(parse("64", 64).unwrap_err().to_string(), "64 is not below 64");
        assert_eq!(parse("3-1", 64).unwrap_err().to_string(), "the range 3-1 runs backwards");
    }
}
