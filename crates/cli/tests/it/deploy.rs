//! What is given to who runs the program on many machines: is it what those machines take?

use std::process::{Command, Stdio};

use fs_err as fs;
use skopeo_testkit::{cannot, run::installed, skip};

use crate::program::root;

/// The tool that knows Kubernetes' own schemas, from Python's package registry.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

#[test]
fn kubernetes_takes_the_manifests() {
    let (Some(python), Some(pip)) = (installed("python3"), installed("pip3")) else {
        skip!("python3 and pip3 (python3-pip) are not installed");
    };
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(pip)
        .args(["install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(folder.path())
        .arg(VALIDATOR)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !output.status.success() {
        cannot!("{VALIDATOR} cannot be had: {}", String::from_utf8_lossy(&output.stderr));
    }
    let validate = |file: &std::path::Path| {
        let output = Command::new(&python)
            .env("PYTHONPATH", folder.path())
            .args(["-m", "kubernetes_validate", "--strict"])
            .arg(file)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut seen = 0;
    for entry in fs::read_dir(root().join("deploy/kubernetes")).unwrap() {
        let path = entry.unwrap().path();
        let (valid, said) = validate(&path);
        assert!(valid, "{}: {said}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 3);

    // The validator itself finds what is wrong.
    let job = fs::read_to_string(root().join("deploy/kubernetes/job.yaml")).unwrap();
    let wrong = folder.path().join("wrong.yaml");
    fs::write(&wrong, job.replace("completionMode:", "completitionMode:")).unwrap();
    assert!(!validate(&wrong).0);
}

#[test]
fn shell_scripts_are_shell_scripts() {
    for file in ["submit.sh", "mirror.sbatch", "merge.sbatch"] {
        let path = root().join("deploy/slurm").join(file);
        let status = Command::new("bash").arg("-n").arg(&path).status().unwrap();
        assert!(status.success(), "{}", path.display());
    }
}
