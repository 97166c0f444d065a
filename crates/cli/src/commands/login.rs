//! `login REGISTRY`.

use std::io::{self, BufRead as _, Read as _};

use anyhow::{Context as _, Result, bail};
use skopeo_config::auth::{self, AuthOptions, Key, Stored};
use skopeo_config::links;
use skopeo_image::{ErrorClass, Secret};
use skopeo_registry::Credentials;
use skopeo_transport::Options;
use tracing::debug;

use crate::app::App;
use crate::args::login::Login;
use crate::args::value::Values;
use crate::exit::Classed;
use crate::report::{Done, Report};
use crate::{go, prompt};

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let flags = Login::new(flags, app.tls_verify());
    app.config().tls_details()?;
    let files = AuthOptions {
        authfile: flags.authfile.clone(),
        compat_authfile: flags.compat_auth_file.clone(),
    }
    .for_login(app.config().environment())?;
    for path in [&files.authfile, &files.compat_authfile].into_iter().flatten() {
        links::check(path)?;
    }
    let key = match arguments {
        [registry] => Key::parse(registry)?,
        [] => bail!("please provide a registry to log in to"),
        _ => bail!("login accepts only one registry to log in to"),
    };
    if flags.get_login {
        let user = auth::get_login(app.config(), &files, &key)?;
        report.add(logged_in(&key, &user, None));
        return report.say(&format!("{user}\n"));
    }
    let kept = auth::current(app.config(), &files, &key)?;
    if matches!(kept, Stored::IdentityToken { .. }) {
        bail!("currently logged in, auth file contains an Identity token");
    }
    let password = password(&flags)?;
    let mut options = app.plain_options();
    options.registry.cert_dir.clone_from(&flags.cert_dir);
    options.registry.tls_verify = flags.tls_verify;
    app.doing(format!("logging into {}", key.key));
    // Who waits at a prompt must be able to leave.
    let given = app.run_uninterrupted(async {
        if let Stored::Basic { username, password: kept } = &kept
            && flags.username.is_empty()
            && password.is_empty()
            && !username.is_empty()
            && !kept.is_empty()
        {
            report.say(&format!("Authenticating with existing credentials for {}\n", key.key))?;
            if check(app, &options, &key, username, kept).await.is_ok() {
                let sentence = "Existing credentials are valid. Already logged in to";
                report.add(logged_in(&key, username, None));
                report.say(&format!("{sentence} {}\n", key.registry))?;
                return Ok(None);
            }
            report.say(
                "Existing credentials are invalid, please enter valid username and password\n",
            )?;
        }
        let known = kept.username().unwrap_or_default();
        let username =
            username(report, &flags.username, known).context("getting username and password")?;
        let password = if password.is_empty() {
            ask_password(report).context("getting username and password: reading password")?
        } else {
            password
        };
        check_new(app, &options, &key, &username, &password).await?;
        Ok(Some((username, password)))
    })?;
    let Some((username, password)) = given else { return Ok(()) };
    // What is written meanwhile has the password in it, and must not be left behind.
    let place =
        app.run(async { Ok(auth::login(app.config(), &files, &key, &username, &password)?) })?;
    if flags.verbose {
        report.say(&format!("Used:  {place}\n"))?;
    }
    report.add(logged_in(&key, &username, Some(place)));
    report.say("Login Succeeded!\n")
}

fn logged_in(key: &Key, username: &str, stored_in: Option<String>) -> Done {
    Done::Login { registry: key.key.clone(), username: username.to_owned(), stored_in }
}

async fn check_new(
    app: &App,
    options: &Options,
    key: &Key,
    username: &str,
    password: &Secret,
) -> Result<()> {
    match check(app, options, key, username, password).await {
        Ok(()) => Ok(()),
        Err(error) if error.downcast_ref().is_some_and(skopeo_registry::Error::is_unauthorized) => {
            debug!("error logging into {}: {}", go::quote(&key.key), crate::exit::sentence(&error));
            let key = go::quote(&key.key);
            Err(Classed {
                class: ErrorClass::Unauthorized,
                sentence: format!("logging into {key}: invalid username/password"),
                hint: None,
            }
            .into())
        }
        Err(error) => {
            Err(error.context(format!("authenticating creds for {}", go::quote(&key.key))))
        }
    }
}

/// Whether the registry lets this user in.
pub(super) async fn check(
    app: &App,
    options: &Options,
    key: &Key,
    username: &str,
    password: &Secret,
) -> Result<()> {
    let mut options = options.clone();
    options.registry.credentials =
        Some(Credentials::Basic { username: username.to_owned(), password: password.clone() });
    let insecure = app.config().registries()?.insecure_host(&key.registry)?;
    let client = app.connections().client(&options, &key.registry, insecure).await?;
    Ok(client.check_login().await?)
}

/// The password of the flags or of stdin; empty if it must be asked for.
fn password(flags: &Login) -> Result<Secret> {
    if !flags.password_stdin {
        return Ok(flags.password.clone());
    }
    if !flags.password.is_empty() {
        bail!("can't specify both --password-stdin and --password");
    }
    if flags.username.is_empty() {
        bail!("must provide --username with --password-stdin");
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    io::stdin().read_to_string(&mut text).context("reading password")?;
    Ok(text.lines().collect::<String>().into())
}

/// The user of the flags, or asked for; an empty answer means the known one.
fn username(report: &Report, given: &str, known: &str) -> Result<String> {
    if !given.is_empty() {
        return Ok(given.trim().to_owned());
    }
    let known_too = if known.is_empty() { String::new() } else { format!(" ({known})") };
    report.say(&format!("Username{known_too}: "))?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line).context("reading username")?;
    if read == 0 || !line.ends_with('\n') {
        bail!("reading username: EOF");
    }
    let typed = line.trim();
    Ok(if typed.is_empty() { known } else { typed }.to_owned())
}

/// Asks on the terminal, which does not show what is typed.
fn ask_password(report: &Report) -> Result<Secret> {
    let typed = prompt::ask_unseen(|| report.say("Password: "));
    // The end of the line that was typed did not show either.
    if prompt::can_ask() {
        let _ = report.say("\n");
    }
    typed
}
