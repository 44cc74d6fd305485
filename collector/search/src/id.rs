//! Document ids: short, url-safe hashes of an identity.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The `_id` of what the parts identify: 128 bits of SHA-256 over the parts, each with its length before it, as 22
/// characters of base64url. The same parts always give the same id.
pub fn document_id(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    URL_SAFE_NO_PAD.encode(&hasher.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_is_short_and_url_safe(parts in proptest::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let id = document_id(&parts);
            prop_assert_eq!(&id, &document_id(&parts));
            prop_assert_eq!(id.len(), 22);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        }
    }

    #[test]
    fn where_a_part_ends_counts() {
        let ids = [
            document_id(&[b"ab", b"c"]),
            document_id(&[b"a", b"bc"]),
            document_id(&[b"abc"]),
            document_id(&[b"abc", b""]),
        ];
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        // Ids lie in indices for weeks: another hash would double what is sent again.
        assert_eq!(
            document_id(&[b"stream", &7_u64.to_be_bytes(), &0_u32.to_be_bytes()]),
            "nKc6nAvMSsyojEjshFLowg"
        );
    }
}
