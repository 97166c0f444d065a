//! From a request to its reply.

use std::collections::HashMap;

use anyhow::{Context as _, Error, Result};
use serde_json::Value;
use skopeo_image::{Platform, go_json};
use skopeo_transport::{ImageName, Options};
use skopeo_trust::Policy;
use tracing::debug;

use super::images::{self, OpenImage};
use super::pipes::Pipes;
use super::reply::{Outcome, Reply};
use super::request::{ImageId, Missing, Refusal, Request};
use super::socket::Packet;
use crate::app::App;
use crate::args::handle::Prefix;
use crate::args::value::Values;
use crate::exit::sentence;

/// The version of the protocol.
const VERSION: &str = "0.2.8";

/// All that a client has asked for so far.
pub(super) struct Session<'a> {
    app: &'a App,
    flags: &'a Values,
    /// Once it is initialized.
    rules: Option<Rules>,
    images: HashMap<ImageId, OpenImage>,
    /// The number of the last image that was opened.
    last: ImageId,
    pipes: Pipes,
}

/// How images are opened.
struct Rules {
    options: Options,
    policy: Policy,
    platforms: Vec<Platform>,
}

/// What to do after a request.
pub(super) enum Turn {
    Reply(Reply),
    End,
}

impl<'a> Session<'a> {
    /// `flags` are those of the command.
    pub(super) fn new(app: &'a App, flags: &'a Values) -> Self {
        let (rules, images, pipes) = (None, HashMap::new(), Pipes::default());
        Self { app, flags, rules, images, last: 0, pipes }
    }

    /// Does what a packet asks for.
    pub(super) async fn take(&mut self, packet: &Packet) -> Turn {
        let outcome = match self.read(packet) {
            Ok(Request::Shutdown) => return Turn::End,
            Ok(request) => {
                debug!("Executing {request:?}");
                self.answer(request).await
            }
            Err(refusal) => Err(refusal.into()),
        };
        match &outcome {
            Ok(outcome) => debug!("Replying {} and pipe {}", outcome.value, outcome.pipe),
            Err(error) => debug!("Replying with an error: {}", sentence(error)),
        }
        Turn::Reply(Reply::new(outcome))
    }

    /// The request in a packet, if it may come now.
    fn read(&self, packet: &Packet) -> Result<Request, Refusal> {
        let request = match packet {
            Packet::Whole(bytes) => Request::parse(bytes),
            Packet::Cut => Err(Refusal::TooLong),
        };
        let may_come = match &request {
            Ok(request) => request.may_be_first(),
            Err(refusal) => !refusal.is_about_arguments(),
        };
        if may_come || self.rules.is_some() { request } else { Err(Refusal::NotInitialized) }
    }

    async fn answer(&mut self, request: Request) -> Result<Outcome> {
        match request {
            Request::Initialize => self.initialize(),
            Request::OpenImage { name, missing } => self.open(&name, missing).await,
            Request::CloseImage(id) => {
                self.image(id)?;
                self.images.remove(&id);
                Ok(Outcome::default())
            }
            Request::GetManifest(id) => {
                let (digest, bytes) = self.image(id)?.manifest().await?;
                self.piped(digest.to_string(), bytes)
            }
            Request::GetFullConfig(id) => {
                let config = self.image(id)?.config().await?;
                self.piped(Value::Null, go_json::to_vec(&config)?)
            }
            Request::GetConfig(id) => {
                let config = self.image(id)?.config().await?;
                self.piped(Value::Null, go_json::to_vec(&config.config)?)
            }
            Request::GetBlob { image, digest, size } => {
                let blob = self.image(image)?.blob(&digest, Some(size)).await?;
                let announced = size_of(blob.size());
                let (pipe, reader) =
                    self.pipes.write(blob.expect(&digest, Some(size)).into_stream())?;
                Ok(Outcome { value: announced, pipe, descriptors: vec![reader] })
            }
            Request::GetRawBlob { image, digest } => {
                let blob = self.image(image)?.blob(&digest, None).await?;
                let announced = size_of(blob.size());
                let readers = self.pipes.write_beside_errors(blob.into_unverified_stream())?;
                Ok(Outcome { value: announced, pipe: 0, descriptors: readers.into() })
            }
            Request::GetLayerInfo(id) => {
                let layers = self.image(id)?.layers()?;
                Ok(Outcome::value(serde_json::from_slice::<Value>(&layers)?))
            }
            Request::GetLayerInfoPiped(id) => {
                let layers = self.image(id)?.layers()?;
                self.piped(Value::Null, layers)
            }
            Request::FinishPipe(number) => {
                self.pipes.finish(number).await?;
                Ok(Outcome::default())
            }
            Request::Shutdown => Ok(Outcome::default()),
        }
    }

    /// Reads what the flags and files of configuration say: a client hears what is wrong with them.
    fn initialize(&mut self) -> Result<Outcome> {
        if self.rules.is_some() {
            return Err(Refusal::Initialized.into());
        }
        let options = self.app.options(&self.app.image(self.flags, Prefix::None)?);
        let policy = self.app.policy()?;
        self.rules = Some(Rules { options, policy, platforms: self.app.platforms() });
        Ok(Outcome::value(VERSION))
    }

    async fn open(&mut self, name: &str, missing: Missing) -> Result<Outcome> {
        let Rules { options, policy, platforms } =
            self.rules.as_ref().ok_or(Refusal::NotInitialized)?;
        let name = ImageName::parse(name)?;
        let image = match images::open(&name, options, policy, platforms).await {
            Ok(image) => image,
            Err(images::OpenError::NotFound(_)) if missing == Missing::IsAnAnswer => {
                return Ok(Outcome::value(0));
            }
            Err(error) => return Err(error.into_error()),
        };
        self.last = self.last.checked_add(1).context("there are too many images")?;
        self.images.insert(self.last, image);
        Ok(Outcome::value(self.last))
    }

    fn image(&self, id: ImageId) -> Result<&OpenImage> {
        self.images.get(&id).with_context(|| format!("no image {id}"))
    }

    fn piped(
        &mut self,
        value: impl Into<Value>,
        bytes: impl Into<bytes::Bytes>,
    ) -> Result<Outcome, Error> {
        let (pipe, reader) = self.pipes.write_bytes(bytes)?;
        Ok(Outcome { value: value.into(), pipe, descriptors: vec![reader] })
    }
}

/// A size as clients are told it: -1 where nobody knows.
fn size_of(size: Option<u64>) -> Value {
    size.map_or_else(|| Value::from(-1), Value::from)
}
