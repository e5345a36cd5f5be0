//! A sealed record opens, a changed one does not, and nothing shows a key or a token.

use std::collections::{HashMap, HashSet};
use std::error::Error as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;

use super::*;

const NAME: &str = "keliweb|client id|test@example.com";
const HEAD: &[u8] = b"1|0|3600000";
const PLAIN: &[u8] = br#"{"access_token":"0123456789abcdef"}"#;
const SECRETS: [&[u8]; 2] = [b"client secret", "pàssword".as_bytes()];
const KEY: [u8; 32] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";

fn given(key: [u8; 32]) -> Sealer {
    Sealer::from_keys(&SealingKeys::new(key))
}

fn open(sealer: &Sealer, sealed: &str) -> Result<Vec<u8>, Unsealed> {
    sealer.open(NAME, HEAD, sealed).map(|plain| plain.to_vec())
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<_> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 5869, appendix A, tests 1 to 3: salt, secret, info, and the first 32 bytes of the output.
#[test]
fn keys_are_derived_as_the_rfc_says() {
    let counting = |from: u8, to: u8| (from..=to).collect::<Vec<_>>();
    let vectors = [
        (
            counting(0x00, 0x0c),
            vec![0x0b; 22],
            counting(0xf0, 0xf9),
            "3cb25f25faacd57a90434f64d0362f2a 2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        ),
        (
            counting(0x60, 0xaf),
            counting(0x00, 0x4f),
            counting(0xb0, 0xff),
            "b11e398dc80327a1c8e7f78c596a4934 4f012eda2d4efad8a050cc4c19afa97c",
        ),
        (vec![], vec![0x0b; 22], vec![], "8da4e775a563c18f715f802a063c5a31 b8a11f5c5ee1879ec3454e5f3c738d2d"),
    ];
    for (salt, secret, info, expected) in vectors {
        assert_eq!(&Key::new(&salt, &secret).derive(&[&info]).unwrap()[..], hex(expected), "{expected}");
    }
}

/// Another program wrote them, from the description at the head of the module: with Python's `cryptography`, `HKDF(SHA256(), 32, salt,
/// info)` and `AESGCM(key).encrypt(nonce, plain, associated)`.
#[test]
fn records_of_the_first_version_open_for_ever() {
    let written = "g1.40mE.AAECAwQFBgcICQoL.rtR-21cCRMfuHLw19uJdhoxCBNvkZYZDc27lVtc_k_G_jMfWzvy-vq8ymuw6Wtns5pOE";
    assert_eq!(open(&Sealer::from_credentials(&SECRETS), written).as_deref(), Ok(PLAIN));
    let written = "g1.AGFl.DA0ODxAREhMUFRYX.NqV2o7PlrB2A52hwu-bo-CaipW1G_s81mFA7WQe5HAd0n2dv29O4_xPT7L-CC-Lb_9k4";
    assert_eq!(open(&given(KEY), written).as_deref(), Ok(PLAIN));
}

#[test]
fn what_is_sealed_opens() {
    let sealer = Sealer::from_credentials(&SECRETS);
    for plain in [&b""[..], b"{", PLAIN, &[0xff; 100_000]] {
        let sealed = sealer.seal(NAME, HEAD, plain).unwrap();
        assert_eq!(open(&sealer.clone(), &sealed).as_deref(), Ok(plain));
        assert!(sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{sealed}");
        assert_eq!(sealed.split('.').map(str::len).take(3).collect::<Vec<_>>(), [2, 4, 16]);
    }
}

#[test]
fn no_change_of_a_record_opens() {
    let keys = SealingKeys::new(KEY).also_open_with(SealingKeys::new([1; 32]));
    let sealer = Sealer::from_keys(&keys);
    // Of three lengths, so that the last character is all, four or two bits of a byte.
    for plain in [&PLAIN[..33], &PLAIN[..34], PLAIN] {
        let sealed = sealer.seal(NAME, HEAD, plain).unwrap();
        let mut flipped = 0;
        for place in 0..sealed.len() {
            for bit in 0..7 {
                let mut changed = sealed.clone().into_bytes();
                changed[place] ^= 1 << bit;
                let error = open(&sealer, str::from_utf8(&changed).unwrap()).unwrap_err();
                match place {
                    0..3 => assert_eq!(error, Unsealed::NotSealed),
                    // Or another key's id.
                    3..7 => assert_ne!(error, Unsealed::NotSealed),
                    _ => assert_eq!(error, Unsealed::Damaged, "bit {bit} of {place} in {sealed}"),
                }
                flipped += 1;
            }
        }
        assert!(flipped > 600, "{flipped}");
        for length in 0..sealed.len() {
            let error = open(&sealer, &sealed[..length]).unwrap_err();
            assert_eq!(error, if length < 3 { Unsealed::NotSealed } else { Unsealed::Damaged }, "{length}");
        }
        for longer in [format!("{sealed}A"), format!("{sealed}="), format!("{sealed}\n"), format!("{sealed}.")] {
            assert_eq!(open(&sealer, &longer), Err(Unsealed::Damaged));
        }
    }
}

#[test]
fn a_record_opens_under_its_own_name_and_head_only() {
    let sealer = given(KEY);
    let sealed = sealer.seal("ab", b"cd", PLAIN).unwrap();
    for (name, head) in [("ab", "ce"), ("ab", "c"), ("ab", ""), ("ac", "cd"), ("", "cd"), ("a", "bcd"), ("abc", "d")] {
        assert_eq!(sealer.open(name, head.as_bytes(), &sealed), Err(Unsealed::Damaged), "{name:?} {head:?}");
    }
    assert!(sealer.open("ab", b"cd", &sealed).is_ok());
    // The associated data protects it, and so does the key of the name without them.
    assert_ne!(associated("ab", b"cd").as_ref(), associated("ac", b"cd").as_ref());
    assert_ne!(associated("ab", b"cd").as_ref(), associated("a", b"bcd").as_ref());
    let (key, mut text) = (&sealer.0.seals, PLAIN.to_vec());
    let nonce = key.of_name("ab").unwrap().seal_in_place_append_tag(Aad::empty(), &mut text).unwrap();
    assert!(key.of_name("ac").unwrap().open_in_place(nonce, Aad::empty(), &mut text).is_err());
}

#[test]
fn other_secrets_are_another_key() {
    let secrets: [&[&[u8]]; 8] = [
        &[b"a", b"bc"],
        &[b"ab", b"c"],
        &[b"abc"],
        &[b"bc", b"a"],
        &[b"", b"a", b"bc"],
        &[b"a", b"bc", b""],
        &[&KEY],
        &[],
    ];
    let mut sealers: Vec<_> = secrets.into_iter().map(Sealer::from_credentials).collect();
    // A key that consists of the same bytes as some credentials with their length.
    let secret = [b'a'; 24];
    let mut same = [b'a'; 32];
    same[..8].copy_from_slice(&length_of(&secret));
    sealers.extend([given(KEY), given([0; 32]), given(same), Sealer::from_credentials(&[&secret])]);
    for (index, sealer) in sealers.iter().enumerate() {
        let sealed = sealer.seal(NAME, HEAD, PLAIN).unwrap();
        for (other, reader) in sealers.iter().enumerate() {
            let expected = if index == other { Ok(PLAIN.to_vec()) } else { Err(Unsealed::OtherKey) };
            assert_eq!(open(reader, &sealed), expected, "{index} {other}");
        }
    }
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let [old, new, next] = [[1; 32], [2; 32], [3; 32]].map(SealingKeys::new);
    let sealed = Sealer::from_keys(&old).seal(NAME, HEAD, PLAIN).unwrap();
    let rotated = Sealer::from_keys(&next.also_open_with(new.clone().also_open_with(old.clone())));
    assert_eq!(open(&rotated, &sealed).as_deref(), Ok(PLAIN));
    assert_eq!(open(&Sealer::from_keys(&new), &sealed), Err(Unsealed::OtherKey));

    let sealed = rotated.seal(NAME, HEAD, PLAIN).unwrap();
    assert_eq!(open(&given([3; 32]), &sealed).as_deref(), Ok(PLAIN));
    assert_eq!(open(&Sealer::from_keys(&new.also_open_with(old)), &sealed), Err(Unsealed::OtherKey));
}

#[test]
fn keys_with_the_same_id_open_their_records() {
    let mut seen = HashMap::new();
    let (first, second) = (0_u64..)
        .find_map(|number| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            Some((seen.insert(SealingKeys::new(key).seals.id().unwrap(), key)?, key))
        })
        .unwrap();
    let both = SealingKeys::new(first).also_open_with(SealingKeys::new(second));
    for key in [first, second] {
        let sealed = given(key).seal(NAME, HEAD, PLAIN).unwrap();
        assert_eq!(open(&Sealer::from_keys(&both), &sealed).as_deref(), Ok(PLAIN));
    }
}

#[test]
fn no_nonce_is_used_twice() {
    let sealer = given(KEY);
    let (mut nonces, mut ciphertexts) = (HashSet::new(), HashSet::new());
    for _ in 0..2_000 {
        let sealed = sealer.seal(NAME, HEAD, PLAIN).unwrap();
        let mut parts = sealed.split('.').skip(2).map(str::to_owned);
        assert!(nonces.insert(parts.next()));
        assert!(ciphertexts.insert(parts.next()));
    }
}

#[test]
fn nothing_shows_a_key_or_a_token() {
    let keys = SealingKeys::new(*b"0123456789abcdefFEDCBA9876543210");
    let sealer = Sealer::from_credentials(&[b"0123456789abcdef", b"FEDCBA9876543210"]);
    assert_eq!(format!("{keys:?}"), "SealingKeys { count: 1 }");
    let both = keys.clone().also_open_with(keys);
    assert_eq!(format!("{both:#?}").lines().collect::<String>(), "SealingKeys {    count: 2,}");
    assert_eq!(format!("{:?}", Sealing::WithKeys(both.clone())), "WithKeys(SealingKeys { count: 2 })");
    assert_eq!(format!("{:?}", Sealer::from_keys(&both)), "Sealer(SealingKeys { count: 2 })");
    assert_eq!(format!("{sealer:?}"), "Sealer(SealingKeys { count: 1 })");

    let sealed = sealer.seal(NAME, HEAD, PLAIN).unwrap();
    let not_text = String::from_utf8_lossy(PLAIN);
    let refused = [open(&sealer, &not_text), open(&sealer, &sealed[..40]), open(&Sealer::from_keys(&both), &sealed)];
    let length = SealingKeys::from_bytes(b"0123456789abcdef").unwrap_err();
    let said = refused.map(|refused| refused.unwrap_err()).map(|error| format!("{error} {error:?}"));
    for text in said.into_iter().chain([format!("{length} {length:?}"), sealed]) {
        for secret in ["0123", "FEDC", "48, 49", "30313233", "access_token", NAME] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(!text.contains('\n'), "{text}");
    }
}

#[test]
fn a_key_has_32_bytes() {
    let sealed = given(KEY).seal(NAME, HEAD, PLAIN).unwrap();
    let read = Sealer::from_keys(&SealingKeys::from_bytes(&KEY).unwrap());
    assert_eq!(open(&read, &sealed).as_deref(), Ok(PLAIN));
    for length in [0, 16, 31, 33, 44, 64] {
        let error = SealingKeys::from_bytes(&vec![b'k'; length]).unwrap_err();
        assert!(error.is_invalid_input() && error.source().is_none(), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("sealing key of {length} bytes: expected 32 random bytes")), "{text}");
    }
}

#[test]
fn a_record_that_is_too_long_is_neither_written_nor_decoded() {
    let sealer = given(KEY);
    let longest = MAX_LENGTH / 4 * 3 - 100;
    let sealed = sealer.seal(NAME, HEAD, &vec![b'a'; longest]).unwrap();
    assert_eq!(open(&sealer, &sealed).map(|plain| plain.len()), Ok(longest));
    let error = sealer.seal(NAME, HEAD, &vec![b'a'; longest + 100]).unwrap_err();
    assert!(error.is_store(), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the token store failed: cannot seal the record of a token: it is longer than 12 MiB; request fewer scopes for one token"
    );

    let huge = format!("{}{}", &sealed[..25], "A".repeat(4 * MAX_LENGTH));
    let (opened, peak) = crate::hostile::memory::peak(|| open(&sealer, &huge));
    assert_eq!(opened, Err(Unsealed::Damaged));
    assert!(peak < 10_000, "{peak} bytes");
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(500) })]

    #[test]
    fn no_text_and_no_change_of_a_record_opens(input in vec(any::<u8>(), 0..400)) {
        hostile::check(&input);
    }

    #[test]
    fn no_text_of_the_right_letters_opens(text in "[A-Za-z0-9_.-]{0,80}") {
        hostile::check(text.as_bytes());
    }

    #[test]
    fn whatever_is_sealed_opens(
        secrets in vec(vec(any::<u8>(), 0..40), 1..4),
        name in ".{0,60}",
        head in vec(any::<u8>(), 0..40),
        plain in vec(any::<u8>(), 0..600),
    ) {
        let secrets: Vec<_> = secrets.iter().map(Vec::as_slice).collect();
        let sealed = Sealer::from_credentials(&secrets).seal(&name, &head, &plain).unwrap();
        let opened = Sealer::from_credentials(&secrets).open(&name, &head, &sealed);
        prop_assert_eq!(opened.as_deref(), Ok(&plain));
    }
}
