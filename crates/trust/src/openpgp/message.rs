//! Taking a message apart: packets in, payload and signatures out.

use std::io::{BufRead, Read as _};

use pgp::packet::{CompressedData, Packet, PacketParser, Signature};

use super::{MAX_SIGNATURE, OpenPgpError};

/// More signatures than that in one message are not even counted.
const MAX_PACKETS: usize = 64;

/// A signed message. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct Message {
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

impl Message {
    /// Reads a message, which may be compressed as a whole.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, OpenPgpError> {
        if bytes.len() > MAX_SIGNATURE {
            return Err(OpenPgpError::TooLong(MAX_SIGNATURE));
        }
        if bytes.first().is_some_and(|first| first & 0x80 == 0) {
            return Err(malformed("it is not binary"));
        }
        let mut packets = packets(bytes)?;
        if packets.len() > 1 && matches!(packets.first(), Some(Packet::CompressedData(_))) {
            return Err(OpenPgpError::Trailing);
        }
        if let [Packet::CompressedData(compressed)] = &packets[..] {
            packets = self::packets(&unpack(compressed)?)?;
        }
        Self::assemble(packets)
    }

    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn into_payload(self) -> Vec<u8> {
        self.payload
    }

    pub(super) fn only_signature(&self) -> Result<&Signature, OpenPgpError> {
        match &self.signatures[..] {
            [signature] => Ok(signature),
            others => Err(OpenPgpError::Count(others.len())),
        }
    }

    /// One-pass signatures, the data, and as many signatures; or, as of old, signatures and the
    /// data.
    fn assemble(packets: Vec<Packet>) -> Result<Self, OpenPgpError> {
        let (mut announced, mut payload) = (0_usize, None);
        let mut signatures = Vec::new();
        let mut before = 0_usize;
        for packet in packets {
            match packet {
                Packet::OnePassSignature(_) if payload.is_none() => {
                    announced = announced.saturating_add(1);
                }
                Packet::Signature(signature) => {
                    if payload.is_none() {
                        before = before.saturating_add(1);
                    } else if signatures.len() == announced.saturating_add(before) {
                        return Err(OpenPgpError::Trailing);
                    }
                    signatures.push(signature);
                }
                Packet::LiteralData(literal) if payload.is_none() => {
                    payload = Some(literal.data().to_vec());
                }
                _ if payload.is_some() => return Err(OpenPgpError::Trailing),
                _ => return Err(malformed("it has packets of another kind")),
            }
        }
        let payload = payload.ok_or_else(|| malformed("it has no data"))?;
        if signatures.len() != announced.saturating_add(before) {
            return Err(malformed("a signature is missing"));
        }
        Ok(Self { payload, signatures })
    }
}

/// The packets that some bytes are, to their last one.
fn packets(bytes: &[u8]) -> Result<Vec<Packet>, OpenPgpError> {
    let mut rest = bytes;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        if packets.len() == MAX_PACKETS {
            return Err(malformed("it has too many packets"));
        }
        // A parser for each packet: one for all would take the beginning of a header for the end.
        let mut parser = PacketParser::new(rest);
        match parser.next() {
            Some(Ok(packet)) => packets.push(packet),
            Some(Err(error)) => return Err(malformed(&first_line(&error))),
            None => return Err(malformed("it is truncated")),
        }
        rest = parser.into_inner();
    }
    Ok(packets)
}

/// What was packed; nothing may be behind it.
fn unpack(compressed: &CompressedData) -> Result<Vec<u8>, OpenPgpError> {
    let broken = |error: std::io::Error| malformed(&format!("unpacking it: {error}"));
    let mut reader = compressed.decompress().map_err(|error| malformed(&first_line(&error)))?;
    let mut unpacked = Vec::new();
    let most = u64::try_from(MAX_SIGNATURE).unwrap_or(u64::MAX).saturating_add(1);
    reader.by_ref().take(most).read_to_end(&mut unpacked).map_err(broken)?;
    if unpacked.len() > MAX_SIGNATURE {
        return Err(OpenPgpError::TooLong(MAX_SIGNATURE));
    }
    let mut rest = reader.into_inner();
    if rest.fill_buf().map_err(broken)?.is_empty() {
        Ok(unpacked)
    } else {
        Err(OpenPgpError::Trailing)
    }
}

fn first_line(error: &pgp::errors::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn malformed(reason: &str) -> OpenPgpError {
    OpenPgpError::Malformed(reason.to_owned())
}
