use super::*;
use crate::testing::Machine;

/// A kubeconfig with one of each, its current context among them.
fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         contexts:\n- name: here\n  context: {{cluster: c, user: u, namespace: ns}}\n\
         clusters:\n- name: c\n  cluster: {{{cluster}}}\n\
         users:\n- name: u\n  user: {{{user}}}\n"
    )
}

fn at_home(text: &str) -> Machine {
    Machine::new().file("home/.kube/config", text)
}

fn refused(machine: &Machine) -> String {
    machine.plain(&machine.config().kube_api().unwrap_err())
}

const HTTPS: &str = "server: 'https://api.example:8443'";

#[test]
fn without_a_file_it_is_the_machine_itself() {
    let api = Machine::new().config().kube_api().unwrap();
    assert_eq!(api.server.as_str(), "http://localhost:8080/");
    assert_eq!((api.token, api.insecure), (None, false));
    let machine = Machine::new().var("KUBERNETES_MASTER", "master.example:8081");
    assert_eq!(machine.config().kube_api().unwrap().server.as_str(), "http://master.example:8081/");
    // What a file says counts more.
    let machine = at_home(&config(HTTPS, "")).var("KUBERNETES_MASTER", "http://m");
    let api = machine.config().kube_api().unwrap();
    assert_eq!(api.server.as_str(), "https://api.example:8443/");
    for empty in ["", "# nothing\n", "users: null\nclusters: []\n", "current-context: gone\n"] {
        let api = at_home(empty).config().kube_api().unwrap();
        assert_eq!(api.server.as_str(), "http://localhost:8080/", "{empty:?}");
    }
}

#[test]
fn secrets_go_to_https_only() {
    for (server, token) in [
        (HTTPS, Some("t0ken")),
        ("server: 'http://api.example'", None),
        ("server: 'api.example:8080'", None),
    ] {
        let api = at_home(&config(server, "token: t0ken")).config().kube_api().unwrap();
        assert_eq!(api.token.as_ref().map(Secret::reveal), token, "{server}");
        assert!(!format!("{api:?}").contains("t0ken"));
    }
    let api = at_home(&config(HTTPS, "username: me, password: pass")).config().kube_api().unwrap();
    assert_eq!(api.basic, Some(("me".to_owned(), Secret::from("pass"))));
    let inside = "server: 'https://me:pass@api.example/base?x#y'";
    let api = at_home(&config(inside, "")).config().kube_api().unwrap();
    assert_eq!(api.server.as_str(), "https://api.example/base");
    assert_eq!(api.basic, Some(("me".to_owned(), Secret::from("pass"))));
}

#[test]
fn certificates_are_files_beside_the_file_or_in_it() {
    let cluster = format!("{HTTPS}, certificate-authority: ca.pem");
    let user = "client-certificate: ../cert.pem, client-key: key.pem";
    let machine = at_home(&config(&cluster, user))
        .file("home/.kube/ca.pem", "CA")
        .file("home/cert.pem", "CERT")
        .file("home/.kube/key.pem", "KEY");
    let api = machine.config().kube_api().unwrap();
    assert_eq!(api.roots_pem.as_deref(), Some(&b"CA"[..]));
    assert_eq!(api.client_pair, Some((b"CERT".to_vec(), Secret::from("KEY"))));
    let cluster = format!("{HTTPS}, certificate-authority-data: Q0E=");
    let user = "client-certificate-data: Q0VSVA==, client-key-data: 'S0VZ'";
    let api = at_home(&config(&cluster, user)).config().kube_api().unwrap();
    assert_eq!(api.roots_pem.as_deref(), Some(&b"CA"[..]));
    assert_eq!(api.client_pair, Some((b"CERT".to_vec(), Secret::from("KEY"))));
    let cluster = format!("{HTTPS}, insecure-skip-tls-verify: true");
    assert!(at_home(&config(&cluster, "")).config().kube_api().unwrap().insecure);
}

#[test]
fn of_several_files_the_first_that_says_it_counts() {
    let first = "current-context: ''\nclusters:\n- name: c\n  cluster: {server: 'https://first'}\n";
    let machine = Machine::new()
        .file("a", first)
        .file("b", &config(HTTPS, "token: of-b"))
        .file("c", &config("server: 'https://last'", "token: of-c").replace("here", "there"));
    let list = ["a", "none", "b", "c"].map(|it| machine.path(it).display().to_string()).join(":");
    let machine = machine.var("KUBECONFIG", &format!("{list}:"));
    let api = machine.config().kube_api().unwrap();
    assert_eq!(api.server.as_str(), "https://first/");
    assert_eq!(api.token.as_ref().map(Secret::reveal), Some("of-b"));
}

#[test]
fn what_contradicts_itself_is_refused_in_the_originals_words() {
    let both = format!("{HTTPS}, certificate-authority-data: Q0E=, insecure-skip-tls-verify: true");
    let missing = format!("{HTTPS}, certificate-authority: none");
    for (cluster, user, sentence) in [
        (
            HTTPS,
            "token: x, username: me",
            "invalid configuration: more than one authentication method found for u; found [token \
             basicAuth], only one is allowed",
        ),
        (
            HTTPS,
            "client-certificate-data: QQ==",
            "invalid configuration: client-key-data or client-key must be specified for u to use \
             the clientCert authentication method",
        ),
        (
            both.as_str(),
            "",
            "specifying a root certificates file with the insecure flag is not allowed",
        ),
        (
            missing.as_str(),
            "",
            "invalid configuration: unable to read certificate-authority /home/.kube/none for c \
             due to open /home/.kube/none: no such file or directory",
        ),
        ("server: 'ftp://me:secret@x'", "", "host must be a URL or a host:port pair: \"x\""),
        ("server: 'host/path'", "", "host must be a URL or a host:port pair: \"host/path\""),
    ] {
        assert_eq!(refused(&at_home(&config(cluster, user))), sentence, "{cluster} {user}");
    }
}

#[test]
fn hostile_files_end_in_an_error_without_their_secrets() {
    let deep = format!("users: {}", "[".repeat(100_000));
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n\
                e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n\
                users: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    for text in [
        "users: hunter2",
        "users:\n- name: u\n  user: [hunter2]\n",
        "users:\n- name: u\n  user: {token: {hunter2: x}}\n",
        "hunter2",
        "\t hunter2: }",
        deep.as_str(),
        bomb,
    ] {
        let told = refused(&at_home(text));
        let begin = "loading config file \"/home/.kube/config\": yaml:";
        assert!(told.starts_with(begin) && told.ends_with("this is not a kubeconfig"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let machine = Machine::new();
    fs_err::create_dir_all(machine.path("home/.kube")).unwrap();
    fs_err::write(machine.path("home/.kube/config"), b"\xff\xfe").unwrap();
    assert!(refused(&machine).ends_with("the file is not UTF-8"));
    let huge = fs_err::File::create(machine.path("home/.kube/config")).unwrap();
    huge.set_len(1 << 40).unwrap();
    assert!(refused(&machine).contains("/home/.kube/config"));
    let data = format!("{HTTPS}, certificate-authority-data: 'hunter2!'");
    let told = refused(&at_home(&config(&data, "")));
    assert!(!told.contains("hunter2"), "{told}");
}
