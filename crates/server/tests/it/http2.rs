//! The smallest client that can misbehave in HTTP/2.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection whose client does what the test says, whatever the protocol does.
pub(crate) struct Http2 {
    stream: TcpStream,
    next: u32,
    /// The window that the server gives each stream, in bytes.
    pub(crate) stream_window: usize,
    /// The window that the server gives the connection, in bytes.
    pub(crate) window: usize,
}

impl Http2 {
    /// Begins a connection that lets the server send as much as it can.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        // SETTINGS_INITIAL_WINDOW_SIZE
        let settings = [&[0, 4][..], &0x7fff_ffff_u32.to_be_bytes()].concat();
        stream.write_all(&frame(SETTINGS, 0, 0, &settings))?;
        stream.write_all(&frame(WINDOW_UPDATE, 0, 0, &0x7fff_0000_u32.to_be_bytes()))?;
        let mut client = Self { stream, next: 1, stream_window: 65_535, window: 65_535 };
        client.read_settings()?;
        client.stream.write_all(&frame(SETTINGS, 1, 0, &[]))?;
        Ok(client)
    }

    /// Reads until the server has acknowledged our settings: its own come before.
    fn read_settings(&mut self) -> io::Result<()> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload)?;
            match (head[3], head[4] & 1) {
                (SETTINGS, 1) => return Ok(()),
                (SETTINGS, _) => {
                    for setting in payload.chunks_exact(6).filter(|setting| setting[1] == 4) {
                        self.stream_window = number(&setting[2..6]);
                    }
                }
                (WINDOW_UPDATE, _) => self.window += number(&payload),
                _ => {}
            }
        }
    }

    /// Begins a request, with a body to come or without; its stream comes back.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: bool,
    ) -> io::Result<u32> {
        let mut block = Vec::new();
        let pseudo =
            [(":method", method), (":scheme", "http"), (":authority", "x"), (":path", path)];
        for (name, value) in pseudo.iter().chain(headers) {
            block.push(0); // a literal that is not remembered
            for text in [name, value] {
                integer(&mut block, text.len());
                block.extend_from_slice(text.as_bytes());
            }
        }
        let flags = END_HEADERS | if body { 0 } else { END_STREAM };
        let id = self.next;
        self.next += 2;
        self.stream.write_all(&frame(HEADERS, flags, id, &block))?;
        Ok(id)
    }

    /// Gives a request up.
    pub(crate) fn reset(&mut self, id: u32) -> io::Result<()> {
        const CANCEL: u32 = 8;
        self.stream.write_all(&frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()))
    }

    /// Begins a request whose head does not end.
    pub(crate) fn endless_head(&mut self) -> io::Result<u32> {
        let id = self.next;
        self.next += 2;
        self.stream.write_all(&frame(HEADERS, 0, id, &[]))?;
        Ok(id)
    }

    /// More of such a head.
    pub(crate) fn more_head(&mut self, id: u32, block: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(CONTINUATION, 0, id, block))
    }

    /// Reads until the server ends the connection; the code that it gives, if it gives one.
    pub(crate) fn end(&mut self) -> Option<u32> {
        let mut code = None;
        loop {
            let mut head = [0; 9];
            let Ok(()) = self.stream.read_exact(&mut head) else { return code };
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            let Ok(()) = self.stream.read_exact(&mut payload) else { return code };
            if head[3] == GOAWAY {
                code = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    }

    /// Sends a piece of a request's body.
    pub(crate) fn data(&mut self, id: u32, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(&frame(DATA, 0, id, bytes))
    }
}

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
}

fn number(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// HPACK's integer with a prefix of seven bits.
fn integer(block: &mut Vec<u8>, value: usize) {
    if value < 127 {
        return block.push(u8::try_from(value).unwrap());
    }
    block.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        block.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    block.push(u8::try_from(rest).unwrap());
}
