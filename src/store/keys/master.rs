//! One key for many objects that are sealed apart: every object gets a key of its own out of it, by name.
//!
//! It deliberately keeps no list: whoever has the master key and an object's name can open the object, in 2040 too.

use super::DataKey;
use ring::hmac;
use zeroize::Zeroizing;

/// A master key: 32 bytes that are wiped when dropped and never printed.
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

impl MasterKey {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut key = Zeroizing::new([0; 32]);
        for (place, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }

    /// The key of the object with this name: HMAC-SHA-256 of `khoanh object key 1`, one NUL and the name.
    pub fn key_of(&self, name: &str) -> DataKey {
        DataKey(Zeroizing::new(self.mac(b"khoanh object key 1\0", name)))
    }

    /// 32 bytes that hide a digest in a name, by exclusive or: HMAC-SHA-256 of `khoanh object name 1`, one NUL and the
    /// name. Whoever guesses what an object holds learns nothing from the name.
    pub fn pad_of(&self, name: &str) -> [u8; 32] {
        self.mac(b"khoanh object name 1\0", name)
    }

    fn mac(&self, what: &[u8], name: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &*self.0));
        context.update(what);
        context.update(name.as_bytes());
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_own_key_and_pad_and_only_64_digits_are_a_key() {
        let digits = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let master = MasterKey::parse(digits).expect("a key");
        assert_eq!(*master.key_of("a").export(), *master.key_of("a").export());
        assert_ne!(*master.key_of("a").export(), *master.key_of("b").export());
        assert_ne!(master.pad_of("a"), *master.key_of("a").bytes());
        // As any other program computes it.
        let expected = "d0eafbc3501e7a2f77f1c46d8a3b3e127510943b5df972e210c590cbec83c099";
        assert_eq!(*master.key_of("sets/1").export(), expected);
        for not in ["", "00", &digits[1..], &format!("{digits}0"), &digits.replace('a', "g")] {
            assert!(MasterKey::parse(not).is_none(), "{not}");
        }
    }
}
