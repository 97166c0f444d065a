//! `logout REGISTRY`.

use anyhow::{Result, bail};
use skopeo_config::auth::{self, AuthOptions, Key, Logout as Found, Stored};
use skopeo_config::links;

use crate::app::App;
use crate::args::login::Logout;
use crate::args::value::Values;
use crate::report::{Done, Report};

pub(crate) fn run(app: &App, flags: &Values, arguments: &[String], report: &Report) -> Result<()> {
    let flags = Logout::new(flags, app.tls_verify());
    auth::check_file(flags.authfile.as_deref())?;
    auth::check_file(flags.compat_auth_file.as_deref())?;
    app.config().tls_details()?;
    let files = AuthOptions {
        authfile: flags.authfile.clone(),
        compat_authfile: flags.compat_auth_file.clone(),
    }
    .for_login(app.config().environment())?;
    for path in [&files.authfile, &files.compat_authfile].into_iter().flatten() {
        links::check(path)?;
    }
    if flags.all {
        if !arguments.is_empty() {
            bail!("--all takes no arguments");
        }
        app.run(async { Ok(auth::logout_all(app.config(), &files)?) })?;
        report.add(Done::Logout { registry: None });
        return report.say("Removed login credentials for all registries\n");
    }
    let key = match arguments {
        [registry] => Key::parse(registry)?,
        [] => bail!("please provide a registry to log out from"),
        _ => bail!("logout accepts only one registry to log out from"),
    };
    // What is written meanwhile has passwords in it, and must not be left behind.
    match app.run(async { Ok(auth::logout(app.config(), &files, &key)?) })? {
        Found::Removed => {
            report.add(Done::Logout { registry: Some(key.key.clone()) });
            report.say(&format!("Removed login credentials for {}\n", key.key))
        }
        Found::NotHere(Stored::Basic { username, password })
            if !username.is_empty() && !password.is_empty() =>
        {
            let mut options = app.plain_options();
            options.registry.tls_verify = flags.tls_verify;
            let check = super::login::check(app, &options, &key, &username, &password);
            if app.run(check).is_err() {
                return Err(skopeo_config::Error::NotLoggedIn(key.key).into());
            }
            report.say(&format!(
                "Not logged into {} with current tool. Existing credentials were established via \
                 docker login. Please use docker logout instead.\n",
                key.key
            ))
        }
        Found::NotHere(_) => Err(skopeo_config::Error::NotLoggedIn(key.key).into()),
    }
}
