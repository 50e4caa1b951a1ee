//! SHA-1 (FIPS 180-4), by which clients name scripts. It guards nothing here.

/// Bytes of a hash.
pub const HASH_SIZE: usize = 20;

/// The hash of a script.
pub type Hash = [u8; HASH_SIZE];

const BLOCK: usize = 64;
const START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// The hash of a text.
#[must_use]
pub fn hash(text: &[u8]) -> Hash {
    let mut state = START;
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    blocks.iter().for_each(|block| mix(&mut state, block));
    // A one, zeros, and the size in bits fill the last block, or the last two.
    let mut tail = rest.to_vec();
    tail.push(0x80);
    let size = (tail.len() + 8).next_multiple_of(BLOCK);
    tail.resize(size - 8, 0);
    tail.extend_from_slice(&(text.len() as u64 * 8).to_be_bytes());
    tail.as_chunks::<BLOCK>().0.iter().for_each(|block| mix(&mut state, block));
    let mut hash = Hash::default();
    for (place, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    hash
}

/// The hash that 40 hexadecimal digits name, in any case.
#[must_use]
pub fn hash_of_hex(digits: &[u8]) -> Option<Hash> {
    let mut hash = Hash::default();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    if pairs.len() != HASH_SIZE {
        return None;
    }
    for (place, [high, low]) in hash.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *place = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(hash)
}

fn mix(state: &mut [u32; 5], block: &[u8; BLOCK]) {
    let mut words = [0_u32; 16];
    for (word, bytes) in words.iter_mut().zip(block.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for round in 0..80_usize {
        let [word, _, x, _, _, _, _, _, y, _, _, _, _, z, ..] = words;
        let (chosen, constant) = match round / 20 {
            0 => (b & c | !b & d, 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6_u32),
        };
        let sum = a.rotate_left(5).wrapping_add(chosen).wrapping_add(e);
        let sum = sum.wrapping_add(constant).wrapping_add(word);
        (a, b, c, d, e) = (sum, a, b.rotate_left(30), c, d);
        // The word of sixteen rounds later takes this one's place.
        let [first, ..] = &mut words;
        *first = (word ^ x ^ y ^ z).rotate_left(1);
        words.rotate_left(1);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &[u8]) -> String {
        hash(text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_examples_of_the_standard() {
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(long), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(hex(&b"a".repeat(1_000_000)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    }

    #[test]
    fn digits_name_a_hash() {
        let digits = hex(b"abc");
        assert_eq!(hash_of_hex(digits.to_ascii_uppercase().as_bytes()), Some(hash(b"abc")));
        for bad in ["", "a9", &digits[1..], &format!("{digits}00"), &digits.replace('9', "g")] {
            assert_eq!(hash_of_hex(bad.as_bytes()), None, "{bad}");
        }
    }
}
