//! A defect ends one request.

use std::io;

use http::{Request, Response};
use hyper::body::Incoming;
use skopeo_server::{Body, Handler, Limits, Registry, ServerOptions, bind, serve};

use crate::client::request;

/// A registry that has defects.
#[derive(Clone)]
struct Defective(Registry);

impl Handler for Defective {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        if request.uri().path() == "/v2/panics" {
            let nothing: [u8; 0] = [];
            let at = request.uri().path().len();
            assert!(nothing.get(at).is_some(), "a defect, made for a test");
        }
        Ok(self.0.respond(request).await)
    }
}

#[test]
fn a_panic_is_a_500_and_the_next_request_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let registry = Registry::open(ServerOptions::new(folder.path())).unwrap();
    runtime.block_on(async {
        let listener = bind("127.0.0.1:0").await.unwrap();
        let serving = serve(listener, None, Limits::default(), Defective(registry)).unwrap();
        let address = serving.address();
        let client = tokio::task::spawn_blocking(move || {
            for _ in 0..3 {
                let reply = request(address, "GET", "/v2/panics", &[], b"").unwrap();
                assert_eq!((reply.status, reply.code()), (500, "UNKNOWN".into()));
                assert_eq!(request(address, "GET", "/v2/", &[], b"").unwrap().status, 200);
            }
        });
        client.await.unwrap();
        serving.stop().await;
    });
}
