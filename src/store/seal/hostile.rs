//! What must hold for any text that is read as a sealed record, and for any change of one. The fuzz target and the tests check the same.
#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::{FORM, Sealer, SealingKeys, Unsealed};

const NAME: &str = "a name";
const HEAD: &[u8] = b"a head";

/// Checks an input in every place of a sealed record, and of what is sealed.
pub fn check(input: &[u8]) {
    let keys = SealingKeys::new([7; 32]).also_open_with(SealingKeys::new([8; 32]));
    let sealer = Sealer::from_keys(&keys);
    let opened = |text: &str| sealer.open(NAME, HEAD, text).map(|plain| plain.to_vec());

    // Whatever was written without the key.
    let text = String::from_utf8_lossy(input);
    assert!(opened(&text).is_err());
    assert!(opened(&format!("{FORM}{text}")).is_err());
    let base64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    for key in keys.iter() {
        let id = base64(&key.id().unwrap());
        assert_eq!(opened(&format!("{FORM}{id}.{text}")), Err(Unsealed::Damaged));
        let (nonce, ciphertext) = input.split_at(input.len().min(12));
        let forged = format!("{FORM}{id}.{}.{}", base64(nonce), base64(ciphertext));
        assert_eq!(opened(&forged), Err(Unsealed::Damaged));
    }

    // Whatever is sealed, and whatever becomes of it.
    let [place, bits, name_length, head_length, rest @ ..] = input else { return };
    let (name, rest) = rest.split_at(rest.len().min((*name_length).into()));
    let (head, plain) = rest.split_at(rest.len().min((*head_length).into()));
    let name = &*String::from_utf8_lossy(name);
    let sealed = sealer.seal(name, head, plain).unwrap();
    assert_eq!(sealer.open(name, head, &sealed).as_ref().map(|opened| &***opened), Ok(plain));
    assert!(plain.len() < 16 || !sealed.as_bytes().windows(plain.len()).any(|window| window == plain));

    assert_eq!(sealer.open(&format!("{name}x"), head, &sealed), Err(Unsealed::Damaged));
    assert_eq!(sealer.open(name, &[head, b"x"].concat(), &sealed), Err(Unsealed::Damaged));
    if let Some((last, shorter)) = head.split_last() {
        assert_eq!(sealer.open(name, shorter, &sealed), Err(Unsealed::Damaged));
        let moved = format!("{name}{}", char::from(*last));
        assert_eq!(sealer.open(&moved, shorter, &sealed), Err(Unsealed::Damaged));
    }
    let place = usize::from(*place) * sealed.len() / 256;
    let mut changed = sealed.into_bytes();
    changed[place] ^= bits.max(&1);
    if let Ok(changed) = String::from_utf8(changed) {
        assert!(sealer.open(name, head, &changed).is_err());
        assert!(sealer.open(name, head, &changed[..place]).is_err());
    }
}
