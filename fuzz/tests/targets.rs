//! Every target with a fixed number of inputs: the same each time.

use skopeo_fuzz::{Mutator, TARGETS, Target, attempt, find, minimise, run, seeds};

fn check(name: &str) {
    let target = find(name).expect("a target of that name");
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mutator = Mutator::new(&seeds, target.words, 20_261_130);
    if let Err(finding) = run(target, &mutator, 0..target.in_tests, |_, _| ()) {
        panic!("{name}: {}\n{}", finding.message, finding.input.escape_ascii());
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn all_targets_are_here() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets![
    reference,
    storage_name,
    bucket_name,
    platforms,
    constraint,
    manifest,
    go_json,
    registries_conf,
    storage_conf,
    cloud_files,
    registries_d,
    kubeconfig,
    policy,
    auth_json,
    tls_details,
    certificates,
    keys,
    jwe,
    pkcs7,
    openpgp,
    payload,
    sigstore,
    bundle,
    cosign_key,
    challenge,
    registry_answers,
    tar_index,
    archive_writer,
    docker_save,
    oci_archive,
    folder,
    tarball,
    sif,
    unpack,
    chunked,
    gzip_join,
    sync_yaml,
    sync_files,
    store_lists,
    layer_apply,
    tar_split,
    image_proxy,
    server,
];

#[test]
fn inputs_are_the_same_each_time_and_not_all_alike() {
    let seeds = [b"{\"a\": 1}".to_vec(), b"".to_vec(), vec![0; 300]];
    let inputs = |start| -> Vec<Vec<u8>> {
        let mutator = Mutator::new(&seeds, &["word"], start);
        (0..500).map(|number| mutator.input(number)).collect()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    assert_eq!(inputs(1)[..3], seeds);
    let different: std::collections::HashSet<_> = inputs(1).into_iter().collect();
    assert!(different.len() > 400, "{}", different.len());
    // Without seeds there is something, too.
    let mutator = Mutator::new(&[], &[], 1);
    assert!((0..100).any(|number| !mutator.input(number).is_empty()));
}

/// Fails at a `7` behind a `3`, on another thread.
fn fragile(input: &[u8]) {
    let input = input.to_vec();
    let _ = std::thread::spawn(move || {
        let three = input.iter().position(|byte| *byte == b'3');
        assert!(!three.is_some_and(|three| input[three..].contains(&b'7')), "a 7 behind a 3");
    })
    .join();
}

#[test]
fn what_fails_is_found_and_made_small() {
    assert!(attempt(fragile, b"73").is_none());
    let said = attempt(fragile, b"xx3xx7xx").unwrap();
    assert!(said.contains("a 7 behind a 3") && said.contains("targets.rs"), "{said}");
    let finding = minimise(fragile, b"some 1 text 3 and 5 more 7 and 9".to_vec());
    assert_eq!(finding.input, b"37");
    let target = Target { name: "fragile", body: fragile, in_tests: 0, words: &["3", "7"] };
    let seeds = [b"some text".to_vec()];
    let mutator = Mutator::new(&seeds, target.words, 1);
    let mut last = 0;
    let finding = run(&target, &mutator, 0..100_000, |number, _| last = number).unwrap_err();
    assert_eq!(finding.input, b"37");
    assert!(last > 0);
}
