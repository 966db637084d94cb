//! Several lines in one run of bytes: of each line, its length as a LEB128 number and its bytes.
//!
//! Lines of a body that are rejected for the same reason are one entry of the quarantine. Whatever is in
//! them, they are given back one by one.

use bytes::Bytes;

/// Appends a line to `packed`.
pub(crate) fn push(packed: &mut Vec<u8>, line: &[u8]) {
    let mut left = line.len();
    while left >= 0x80 {
        packed.push(low_bits(left) | 0x80);
        left >>= 7;
    }
    packed.push(low_bits(left));
    packed.extend_from_slice(line);
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}

/// Returns the first line in `packed`; `None` if there is none.
pub(crate) fn first(packed: &Bytes) -> Option<Bytes> {
    let (mut length, mut at) = (0_usize, 0);
    loop {
        let byte = *packed.get(at)?;
        length |= usize::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let end = at.checked_add(length).filter(|end| *end <= packed.len())?;
    Some(packed.slice(at..end))
}

/// Returns the lines in `packed`, as parts of it; `None` if it is not what [`push`] makes.
pub(crate) fn unpack(packed: &Bytes) -> Option<Vec<Bytes>> {
    let (mut lines, mut at) = (Vec::new(), 0);
    while at < packed.len() {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = *packed.get(at)?;
            at += 1;
            // 35 bits: more than any line has.
            if shift > 28 {
                return None;
            }
            length |= usize::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                break;
            }
            shift += 7;
        }
        let end = at.checked_add(length).filter(|end| *end <= packed.len())?;
        lines.push(packed.slice(at..end));
        at = end;
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_given_back_whatever_they_are() {
        let lines: Vec<Vec<u8>> = vec![
            vec![],
            b"x".to_vec(),
            b"a\nb".to_vec(),
            vec![0xff; 127],
            vec![7; 128],
            vec![9; 70_000],
        ];
        let mut packed = Vec::new();
        lines.iter().for_each(|line| push(&mut packed, line));
        let packed = Bytes::from(packed);
        assert_eq!(unpack(&packed).unwrap(), lines);
        assert_eq!(unpack(&Bytes::new()).unwrap(), Vec::<Bytes>::new());
    }

    #[test]
    fn anything_else_is_none_of_them() {
        for packed in [
            &b"\x02x"[..],
            b"\x80",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\xff\xff\xff\xff\x0f",
        ] {
            assert_eq!(unpack(&Bytes::from_static(packed)), None, "{packed:?}");
        }
    }
}
