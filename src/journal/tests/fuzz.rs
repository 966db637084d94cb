//! Broken bytes for whatever reads the journal's: no panic, and nothing read that is not there.
//!
//! Half of the inputs have right checksums, so that what stands behind these is reached too.
//! `SESSIONLAKE_SEARCH_STEPS=10000000 cargo test --release fuzz -- --nocapture` makes the long run.

use super::fake::FakeDisk;
use super::*;
use crate::journal::codec::compression::{compress, decompress};
use crate::journal::control::{
    decode_checkpoint, decode_committed, decode_seal, encode_checkpoint, encode_seal,
};
use crate::journal::disk::Disk as _;
use crate::journal::frame::{BodyHead, Header, MAGIC};
use crate::journal::segment::{FrameScanner, SegmentHead};
use crate::search::{Dice, inputs, mutate};

/// Inputs that every test run makes.
const INPUTS: u64 = 50_000;

fn repair(bytes: &mut Vec<u8>) {
    let crc = crc32c::crc32c(bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// A frame with any header, its checksum right.
fn any_frame(dice: &mut Dice, salt: u64) -> Vec<u8> {
    let mut payload = vec![0; dice.below(60) as usize];
    payload.iter_mut().for_each(|byte| *byte = dice.byte());
    let mut bytes = MAGIC.to_vec();
    bytes.push(dice.below(8) as u8);
    bytes.push(dice.below(9) as u8);
    bytes.extend_from_slice(&(dice.below(80) as u16).to_le_bytes());
    let length = if dice.one_in(2) { payload.len() as u32 } else { dice.roll() as u32 };
    bytes.extend_from_slice(&length.to_le_bytes());
    let crc = if dice.one_in(3) { dice.roll() as u32 } else { crc32c::crc32c(&payload) };
    bytes.extend_from_slice(&crc.to_le_bytes());
    for _ in 0..3 {
        let number = if dice.one_in(2) { dice.below(200) } else { dice.roll() };
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

#[test]
fn fuzz_records_and_heads() {
    let mut dice = Dice(1);
    let control = Control::new();
    let checkpoint = encode_checkpoint(&control, &[]);
    let sealed = encode_seal(&seal(3, 4, 5));
    let head = SegmentHead {
        format: segment::FORMAT,
        node: "node".into(),
        seed: 1,
        salt: 2,
        first_seq: 3,
        created_at: Micros(4),
    };
    let head = head.encode();
    let mut read = 0_u64;
    for _ in 0..inputs(INPUTS) {
        let mut bytes = match dice.below(4) {
            0 => checkpoint.clone(),
            1 => sealed.clone(),
            2 => head.clone(),
            _ => any_frame(&mut dice, 7),
        };
        mutate(&mut dice, &mut bytes);
        if bytes.starts_with(b"SLJOURNL") && bytes.len() >= 20 && dice.one_in(2) {
            bytes.truncate(bytes.len().saturating_sub(4).max(16));
            let length = (bytes.len() as u32 + 4).to_le_bytes();
            bytes.splice(12..16, length);
            repair(&mut bytes);
        }
        if let Some((control, window)) = decode_checkpoint(&bytes) {
            // What was read is written again with the same bytes: nothing was made up.
            assert_eq!(encode_checkpoint(&control, &window), bytes);
            read += 1;
        }
        if let Some(seal) = decode_seal(&bytes) {
            assert_eq!(encode_seal(&seal), bytes);
            read += 1;
        }
        if let Ok((head, length)) = SegmentHead::decode(&bytes) {
            assert!(length as usize <= bytes.len() && head.node.len() <= bytes.len());
            read += 1;
        }
        if let Some(header) = Header::decode(&bytes, 7) {
            assert!(u32::from(header.head_bytes) <= header.payload_bytes);
            read += 1;
        }
        let _ = decode_committed(&bytes);
        if let Some(head) = BodyHead::decode(&bytes, dice.one_in(2)) {
            assert!(head.table.len() <= bytes.len());
        }
    }
    println!("{} inputs, {read} of them could be read", inputs(INPUTS));
    assert!(read > 0);
}

#[test]
fn fuzz_compressed_bodies() {
    let mut dice = Dice(3);
    let text = "{\"userSessionId\":\"one\",\"duration\":1234567}\n".repeat(40);
    let whole = compress(text.as_bytes()).expect("smaller");
    let mut read = 0_u64;
    for _ in 0..inputs(INPUTS) {
        let mut bytes = whole.to_vec();
        mutate(&mut dice, &mut bytes);
        let said = if dice.one_in(2) { text.len() as u32 } else { dice.below(5_000) as u32 };
        // What the frame's checksum does not catch would be other bytes, but never more of them.
        if let Some(body) = decompress(&bytes, said) {
            assert_eq!(body.len(), said as usize);
            read += 1;
        }
    }
    println!("{} inputs, {read} of them could be read", inputs(INPUTS));
    assert!(read > 0);
}

#[test]
fn fuzz_frames_of_a_segment() {
    let mut dice = Dice(2);
    let disk = FakeDisk::default();
    let path = PathBuf::from("/segment");
    let (mut whole, mut found) = (0_u64, 0_u64);
    for _ in 0..inputs(INPUTS) / 4 {
        let mut bytes = Vec::new();
        for _ in 0..1 + dice.below(4) {
            bytes.extend(any_frame(&mut dice, 9));
        }
        if dice.one_in(2) {
            mutate(&mut dice, &mut bytes);
        }
        disk.put_alone(&path, &bytes);
        let file = disk.open(&path).expect("there");
        let len = bytes.len() as u64;
        let mut scanner = FrameScanner::new(&*file, len, 9);
        let mut offset = 0;
        while offset < len {
            match scanner.frame(offset).expect("memory") {
                Ok(frame) => {
                    assert!(frame.end > offset && frame.end <= len);
                    assert!(frame.kept.len() as u64 <= len);
                    offset = frame.end;
                    whole += 1;
                }
                Err(_) => match scanner.next_header(offset + 1).expect("memory") {
                    Some((at, _)) => {
                        assert!(at > offset);
                        offset = at;
                        found += 1;
                    }
                    None => break,
                },
            }
        }
        scanner.proves_durable(0).expect("memory");
    }
    println!("{} files, {whole} whole frames, {found} found behind a bad one", inputs(INPUTS) / 4);
    assert!(whole > 0 && found > 0);
}
