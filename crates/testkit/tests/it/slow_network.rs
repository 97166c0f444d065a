//! The long way to a server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use skopeo_testkit::SlowNetwork;

/// Answers each byte with a megabyte.
fn server() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read(&mut byte).unwrap_or_default() > 0 {
                    stream.write_all(&vec![byte[0]; 1 << 20]).unwrap();
                }
            });
        }
    });
    address
}

/// The bounds below cannot be broken by a slow machine: what is late is late, never early. That
/// pieces do not wait for each other is seen from their number: sixteen and more, of 40 ms each.
#[test]
fn every_byte_takes_its_time_but_not_that_of_others() {
    let one_way = Duration::from_millis(40);
    let distance = SlowNetwork::to(server(), one_way);
    let begun = Instant::now();
    let mut stream = TcpStream::connect(distance.address()).unwrap();
    stream.write_all(b"x").unwrap();
    let mut answer = vec![0; 1 << 20];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.iter().all(|byte| *byte == b'x'));
    // The connection's round trip, and that of the byte.
    assert!(begun.elapsed() >= 4 * one_way, "{:?}", begun.elapsed());
    let again = Instant::now();
    stream.write_all(b"yz").unwrap();
    stream.read_exact(&mut answer).unwrap();
    stream.read_exact(&mut answer).unwrap();
    assert!(again.elapsed() >= 2 * one_way, "{:?}", again.elapsed());
    drop(stream);
    let mut stream = TcpStream::connect(distance.address()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    assert_eq!(distance.connections(), 2);
    assert_eq!(distance.bytes(), (3, 3 << 20));
}
