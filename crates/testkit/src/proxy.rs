//! A client of `experimental-image-proxy` as small as one can be: it says exactly what a test wants
//! said. All of its functions panic where the program does not answer as a program should.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::run::Run;

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, and the other end of its socket.
#[derive(Debug)]
pub struct Client {
    socket: Option<OwnedFd>,
    child: Option<Child>,
}

/// A reply.
#[derive(Debug)]
pub struct Answer {
    /// All that it says.
    pub json: Value,
    /// What came with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Client {
    /// Starts a command with the socket as its standard input, and says nothing yet.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn of(mut command: Command) -> Self {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("what a proxy says");
        command.stdin(theirs).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { socket: Some(ours), child: Some(command.spawn().expect("what a proxy says")) }
    }

    fn socket(&self) -> &OwnedFd {
        self.socket.as_ref().expect("a client that has not hung up")
    }

    /// Returns the number of its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Asks, and reads the reply.
    #[track_caller]
    pub fn call(&self, method: &str, arguments: Value) -> Answer {
        self.ask(json!({"method": method, "args": arguments}).to_string().as_bytes());
        self.reply()
    }

    /// Sends a packet.
    #[track_caller]
    pub fn ask(&self, packet: &[u8]) {
        let sent = send(self.socket(), packet, SendFlags::NOSIGNAL).expect("what a proxy says");
        assert_eq!(sent, packet.len());
    }

    /// Sends a packet and a descriptor with it.
    pub fn ask_with(&self, packet: &[u8], descriptor: &OwnedFd) {
        let descriptors = [descriptor.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let socket = self.socket();
        sendmsg(socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)
            .expect("what a proxy says");
    }

    /// Returns whether a reply comes within that time.
    pub fn replies_within(&self, time: Duration) -> bool {
        let socket = self.socket();
        set_socket_timeout(socket, Timeout::Recv, Some(time)).expect("what a proxy says");
        recv(socket, &mut [0; 1], RecvFlags::PEEK).is_ok()
    }

    /// Returns the next reply.
    #[track_caller]
    pub fn reply(&self) -> Answer {
        assert!(self.replies_within(PATIENCE), "no reply comes");
        let mut buffer = vec![0; 64 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let socket = self.socket();
        let got = recvmsg(socket, &mut [IoSliceMut::new(&mut buffer)], &mut control, flags);
        let bytes = got.expect("what a proxy says").bytes;
        let descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        assert!(bytes <= 32 * 1024, "a reply of {bytes} bytes");
        let text = String::from_utf8(buffer[..bytes].to_vec()).expect("what a proxy says");
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        Answer { json, descriptors }
    }

    /// Opens an image.
    #[track_caller]
    pub fn open(&self, name: &str) -> Value {
        self.call("OpenImage", json!([name])).value()
    }

    /// Asks for what comes through a pipe: the value, and all bytes, or what went wrong.
    #[track_caller]
    pub fn piped(&self, method: &str, arguments: Value) -> (Value, Result<Vec<u8>, Answer>) {
        let mut answer = self.call(method, arguments);
        let value = answer.value();
        let reader = answer.pipe();
        (value, self.finish(answer.number(), reader))
    }

    /// Reads a pipe to its end, which comes when it is finished.
    #[track_caller]
    pub fn finish(&self, number: u64, reader: OwnedFd) -> Result<Vec<u8>, Answer> {
        let reading = std::thread::spawn(move || read(reader));
        let finished = self.call("FinishPipe", json!([number]));
        let bytes = reading.join().expect("what a proxy says");
        match finished.json["success"].as_bool() {
            Some(true) => Ok(bytes),
            _ => Err(finished),
        }
    }

    /// Returns the bytes of a blob that the client would verify, and what came through the second
    /// pipe.
    #[track_caller]
    pub fn raw_blob(&self, image: &Value, digest: &str) -> (Value, Vec<u8>, Vec<u8>) {
        let answer = self.call("GetRawBlob", json!([image, digest]));
        let value = answer.value();
        let [data, errors] = answer.descriptors.try_into().expect("what a proxy says");
        let errors = std::thread::spawn(move || read(errors));
        (value, read(data), errors.join().expect("what a proxy says"))
    }

    /// Goes away, and tells how the program ended then.
    #[track_caller]
    pub fn hang_up(mut self) -> Run {
        drop(self.socket.take());
        self.ended()
    }

    /// Will ask nothing more, but read.
    pub fn say_no_more(&self) {
        rustix::net::shutdown(self.socket(), rustix::net::Shutdown::Write)
            .expect("what a proxy says");
    }

    /// Waits until the program ends by itself.
    #[track_caller]
    pub fn ended(mut self) -> Run {
        self.wait()
    }

    #[track_caller]
    fn wait(&mut self) -> Run {
        let child = self.child.take().expect("a client that has a program");
        let id = Pid::from_child(&child);
        let begun = Instant::now();
        let waiting =
            std::thread::spawn(move || child.wait_with_output().expect("a child of ours"));
        while !waiting.is_finished() {
            if begun.elapsed() > PATIENCE {
                let _ = kill_process(id, Signal::KILL);
                let output = waiting.join().expect("a thread of ours");
                panic!("the proxy does not end\n{}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = waiting.join().expect("a thread of ours");
        Run {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// Ends as one should.
    #[track_caller]
    pub fn shut_down(mut self) -> Run {
        self.end()
    }

    /// Ends the proxy and returns how it ended; the client is of no more use.
    #[track_caller]
    pub fn end(&mut self) -> Run {
        self.ask(br#"{"method":"Shutdown"}"#);
        self.wait()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Answer {
    /// Returns the value, if there is one.
    #[track_caller]
    pub fn value(&self) -> Value {
        assert_eq!(self.json["success"], true, "{}", self.json);
        assert_eq!(self.json["error"], "");
        // Older versions of the protocol have none.
        assert_eq!(self.json["error_code"].as_str().unwrap_or_default(), "");
        self.json["value"].clone()
    }

    /// Returns the code and the sentence of an error.
    #[track_caller]
    pub fn error(&self) -> (&str, &str) {
        assert_eq!(self.json["success"], false, "{}", self.json);
        assert!(self.json["value"].is_null() && self.descriptors.is_empty());
        assert_eq!(self.json["pipeid"], 0);
        let text = |key: &str| self.json[key].as_str().expect("what a proxy says");
        (text("error_code"), text("error"))
    }

    /// Returns the number of the pipe.
    #[track_caller]
    pub fn number(&self) -> u64 {
        let number = self.json["pipeid"].as_u64().expect("what a proxy says");
        assert_ne!(number, 0, "{}", self.json);
        number
    }

    /// Returns the end of the one pipe.
    #[track_caller]
    pub fn pipe(&mut self) -> OwnedFd {
        assert_eq!(self.descriptors.len(), 1, "{}", self.json);
        self.descriptors.pop().expect("what a proxy says")
    }
}

/// Reads a pipe to its end.
pub fn read(reader: OwnedFd) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::from(reader).read_to_end(&mut bytes).expect("what a proxy says");
    bytes
}
