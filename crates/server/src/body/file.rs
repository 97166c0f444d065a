//! A part of a file, read piece by piece as the client takes them.

use std::future::Future;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use fs_err::File;
use skopeo_image::number::wide;
use tokio::task::{JoinHandle, spawn_blocking};

use super::piece::{Lease, Piece};
use crate::memory::Room;

/// How much is read at once where nobody counts, in bytes.
const PIECE: usize = 256 * 1024;

/// How much of one body may be given out and not taken yet, in bytes, before the next piece.
const GIVEN_OUT: usize = 256 * 1024;

/// What is still to be read of a file, one piece ahead of who takes it while there is plenty of
/// memory.
pub(super) struct FilePart {
    /// Bytes not yet given out.
    remaining: u64,
    next: Next,
    pub(super) lease: Option<Lease>,
}

enum Next {
    Idle(File),
    Waiting(File, Pin<Box<dyn Future<Output = Room> + Send>>),
    Reading(JoinHandle<(File, io::Result<Vec<u8>>)>, Room),
    Gone,
}

impl FilePart {
    pub(super) fn new(file: File, size: u64) -> Self {
        Self { remaining: size, next: Next::Idle(file), lease: None }
    }

    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        loop {
            match std::mem::replace(&mut self.next, Next::Gone) {
                Next::Idle(file) => match self.begin(file, context) {
                    Ok(next) => self.next = next,
                    Err(file) => {
                        self.next = Next::Idle(file);
                        return Poll::Pending;
                    }
                },
                Next::Waiting(file, mut room) => match room.as_mut().poll(context) {
                    Poll::Ready(room) => self.next = self.read(file, room),
                    Poll::Pending => {
                        self.next = Next::Waiting(file, room);
                        return Poll::Pending;
                    }
                },
                Next::Reading(mut reading, room) => {
                    let Poll::Ready(read) = Pin::new(&mut reading).poll(context) else {
                        self.next = Next::Reading(reading, room);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Some(self.give(read, room)));
                }
                Next::Gone => return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            }
        }
    }

    /// Begins to read the next piece, or to wait for room. The file comes back if pieces must be
    /// taken before: the task is woken then.
    fn begin(&mut self, file: File, context: &Context<'_>) -> Result<Next, File> {
        let Some(lease) = &self.lease else { return Ok(self.read(file, Room::uncounted(PIECE))) };
        let flow = &lease.flow;
        flow.wake_when_taken(context);
        if flow.owed() >= GIVEN_OUT {
            return Err(file);
        }
        match lease.memory.piece(self.most(lease)) {
            // One that is on its way is enough while memory is scarce.
            Some(room) if room.scarce && flow.owed() > 0 => Err(file),
            None if flow.owed() > 0 => Err(file),
            Some(room) => Ok(self.read(file, room)),
            None => Ok(Next::Waiting(file, Box::pin(lease.memory.clone().small_piece()))),
        }
    }

    fn most(&self, lease: &Lease) -> usize {
        usize::try_from(self.remaining).map_or(lease.most, |remaining| remaining.min(lease.most))
    }

    fn read(&self, file: File, room: Room) -> Next {
        let size = usize::try_from(self.remaining).map_or(room.size, |left| left.min(room.size));
        let reading = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(size);
            let read = (&file).take(wide(size)).read_to_end(&mut piece);
            (file, read.map(|_| piece))
        });
        Next::Reading(reading, room)
    }

    fn give(
        &mut self,
        read: Result<(File, io::Result<Vec<u8>>), tokio::task::JoinError>,
        room: Room,
    ) -> io::Result<Bytes> {
        let (file, piece) = read.map_err(io::Error::other)?;
        let piece = piece?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.remaining = self.remaining.saturating_sub(wide(piece.len()));
        let ahead = match &self.lease {
            None => Some(Room::uncounted(PIECE)),
            Some(_) if room.scarce => None,
            Some(lease) => lease.memory.piece(self.most(lease)).filter(|room| !room.scarce),
        };
        self.next = match ahead {
            _ if self.remaining == 0 => Next::Gone,
            Some(ahead) => self.read(file, ahead),
            None => Next::Idle(file),
        };
        let bytes = Bytes::from(piece);
        Ok(match &self.lease {
            Some(lease) => Piece::give(bytes, lease.flow.clone(), room.into_part()),
            None => bytes,
        })
    }
}
