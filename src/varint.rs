//! Numbers of a variable number of bytes: seven bits a byte, the lowest first, and a bit that says whether
//! more follow (LEB128). Parquet, Avro and Protocol Buffers have them, and rows that a roll leaves out.

/// Appends a number.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number in the zigzag form, in which those near zero are short.
pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number << 1 ^ number >> 63).cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_bytes_as_they_need() {
        let bytes = |number| {
            let mut out = Vec::new();
            put(&mut out, number);
            out
        };
        assert_eq!([bytes(0), bytes(0x7f)], [[0], [0x7f]]);
        assert_eq!(bytes(0x80), [0x80, 1]);
        assert_eq!(bytes(300), [0xac, 2]);
        assert_eq!(bytes(u64::MAX), [[0xff; 9].as_slice(), &[1]].concat());
        let signed = |number| {
            let mut out = Vec::new();
            put_signed(&mut out, number);
            out
        };
        assert_eq!([signed(0), signed(-1), signed(1), signed(-64)], [[0], [1], [2], [0x7f]]);
        assert_eq!(signed(64), [0x80, 1]);
        assert_eq!(signed(i64::MIN), bytes(u64::MAX));
    }
}
