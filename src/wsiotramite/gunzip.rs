//! Takes gzip off a request's body piece by piece, so that a few bytes never become many in memory, nor very many at all.

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;

/// Bytes that may come out whatever went in: small messages of few words shrink far.
const FREE_BYTES: u64 = 1024 * 1024;

/// Why a compressed body cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// Not gzip, cut short, or not what its checksum says.
    Malformed,
    /// More came out of each byte than a message can hold.
    Bomb,
}

pub struct Gunzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    ratio_max: u64,
    taken: u64,
    given: u64,
}

impl Gunzip {
    /// At most `ratio_max` bytes may come out of one, on average, once more than [`FREE_BYTES`] have.
    pub fn new(ratio_max: u64) -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()), ratio_max, taken: 0, given: 0 }
    }

    /// Takes some of `piece`, and returns what came out of it: at most the decoder's buffer and a little.
    pub fn step(&mut self, piece: &mut Bytes) -> Result<Bytes, Spoilt> {
        let taken = loop {
            match self.decoder.write(piece) {
                Ok(n) => break n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Spoilt::Malformed),
            }
        };
        piece.advance(taken.min(piece.len()));
        self.taken += taken as u64;
        let out = self.out()?;
        // It takes nothing and gives nothing: something stands behind its end that is no gzip.
        if taken == 0 && out.is_empty() && !piece.is_empty() {
            return Err(Spoilt::Malformed);
        }
        Ok(out)
    }

    /// What is left once all pieces were taken.
    pub fn finish(&mut self) -> Result<Bytes, Spoilt> {
        self.decoder.try_finish().map_err(|_| Spoilt::Malformed)?;
        self.out()
    }

    fn out(&mut self) -> Result<Bytes, Spoilt> {
        let out = std::mem::take(self.decoder.get_mut());
        self.given += out.len() as u64;
        if self.given > FREE_BYTES && self.given / self.ratio_max > self.taken {
            return Err(Spoilt::Bomb);
        }
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// All that comes out, and the most that came at once.
    fn gunzip(packed: &[u8], cut: usize, ratio_max: u64) -> Result<(Vec<u8>, usize), Spoilt> {
        let (mut gunzip, mut all, mut most) = (Gunzip::new(ratio_max), Vec::new(), 0);
        for piece in packed.chunks(cut) {
            let mut piece = Bytes::copy_from_slice(piece);
            while !piece.is_empty() {
                let out = gunzip.step(&mut piece)?;
                most = most.max(out.len());
                all.extend_from_slice(&out);
            }
        }
        let out = gunzip.finish()?;
        all.extend_from_slice(&out);
        Ok((all, most.max(out.len())))
    }

    fn noise(bytes: usize) -> Vec<u8> {
        (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).take(bytes).collect()
    }

    #[test]
    fn what_was_packed_comes_out_however_it_is_cut() {
        let text = [noise(100_000), vec![b'x'; 300_000]].concat();
        for cut in [1, 7, 4096, usize::MAX] {
            assert!(gunzip(&gzip(&text), cut, 100).unwrap().0 == text, "{cut}");
        }
        let members = [gzip(b"uno, "), gzip(b""), gzip(b"dos")].concat();
        assert_eq!(gunzip(&members, 5, 100).unwrap().0, b"uno, dos");
        assert_eq!(gunzip(&gzip(b""), 1, 100).unwrap().0, b"");
    }

    #[test]
    fn little_is_in_memory_at_once_whatever_is_packed() {
        let (all, most) = gunzip(&gzip(&vec![0; 20 << 20]), usize::MAX, 2000).unwrap();
        assert_eq!(all.len(), 20 << 20);
        assert!(most <= 128 * 1024, "{most} bytes at once");
    }

    #[test]
    fn a_bomb_is_told_early_and_words_that_repeat_are_none() {
        assert_eq!(gunzip(&gzip(&vec![0; 20 << 20]), 4096, 100), Err(Spoilt::Bomb));
        assert!(gunzip(&gzip(&vec![b'x'; 1 << 20]), 4096, 100).is_ok());
    }

    #[test]
    fn what_is_no_gzip_or_not_whole_is_told() {
        let good = gzip(&noise(10_000));
        let mut wrong_sum = good.clone();
        let at = wrong_sum.len() - 6;
        wrong_sum[at] ^= 1;
        let mut broken = good.clone();
        broken[900] ^= 0xff;
        for (what, packed) in [
            ("plain text", b"<s:Envelope/>".to_vec()),
            ("cut", good[..good.len() / 2].to_vec()),
            ("without its end", good[..good.len() - 4].to_vec()),
            ("a wrong sum", wrong_sum),
            ("a broken byte", broken),
            ("something behind it", [&good[..], b"more"].concat()),
        ] {
            for cut in [1, 1000, usize::MAX] {
                assert_eq!(gunzip(&packed, cut, 100).err(), Some(Spoilt::Malformed), "{what} in pieces of {cut}");
            }
        }
    }
}
