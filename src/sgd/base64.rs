//! A stored document as base64, piece by piece as it is read. The last piece leaves only when the whole was found undamaged.

use bytes::Bytes;
use futures_util::{Stream, stream};

use crate::store::{BlobReader, StoreError};

/// One layer, standard alphabet, padded, without line breaks.
pub fn encoded(reader: BlobReader) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    stream::try_unfold((reader, Vec::new(), false), |(mut reader, mut carried, ended)| async move {
        if ended {
            return Ok(None);
        }
        loop {
            match reader.next().await? {
                Some(piece) => {
                    carried.extend_from_slice(&piece);
                    // What does not fill a group of four characters waits, and never less than a byte: the end tells
                    // whether the document is whole.
                    let whole = carried.len().saturating_sub(1) / 3 * 3;
                    if whole == 0 {
                        continue;
                    }
                    let rest = carried.split_off(whole);
                    let text = base64_simd::STANDARD.encode_to_string(&carried);
                    return Ok(Some((Bytes::from(text), (reader, rest, false))));
                }
                None => {
                    let text = base64_simd::STANDARD.encode_to_string(&carried);
                    return Ok(Some((Bytes::from(text), (reader, Vec::new(), true))));
                }
            }
        }
    })
}
