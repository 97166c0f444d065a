//! The tutorials' lines that name docker.io, or nothing, with a registry of ours in its place.

use skopeo_testkit::{Home, Image, Registry};

use crate::stage::{skopeo, whole_layout};

#[test]
fn docker_io_somewhere_else() {
    let hub = Registry::start();
    let target = Registry::builder().htpasswd("user", "token").start();
    let image = Image::new(1);
    for name in ["library/nginx:latest", "library/centos:8", "library/centos:7.5.1804"] {
        image.push(&hub, name);
    }
    let (h, t) = (hub.host(), target.host());
    let other = format!("[[registry]]\nlocation = \"{t}\"\ninsecure = true\n");
    // Remapped, and behind a mirror whose primary does not exist.
    for table in [
        format!("[[registry]]\nprefix = \"docker.io\"\nlocation = \"{h}\"\ninsecure = true\n"),
        format!(
            "[[registry]]\nprefix = \"docker.io\"\nlocation = \"127.0.0.1:1\"\n\
             [[registry.mirror]]\nlocation = \"{h}\"\ninsecure = true\n"
        ),
    ] {
        let home = Home::new();
        home.registries_conf(&(table + &other));
        let nginx = format!("docker://{t}/pichuang/nginx");
        let line =
            ["copy", "docker://docker.io/library/nginx", &nginx, "--dest-creds", "user:token"];
        skopeo(&home, &line).success();
        home.write(
            "work/gitlab-auth.json",
            &format!("{{\"auths\":{{\"{t}\":{{\"auth\":\"dXNlcjp0b2tlbg==\"}}}}}}"),
        );
        let test = format!("docker://{t}/u/test:v1");
        let line = ["copy", "--dest-authfile=./gitlab-auth.json", "docker://centos:8", &test];
        skopeo(&home, &line).success();
        let folder = "oci:./target:centos:7.5.1804";
        skopeo(&home, &["copy", "docker://docker.io/centos:7.5.1804", folder]).success();
        assert_eq!(whole_layout(&home.path("work/target"))["centos:7.5.1804"], image.digest());
        let inspected = skopeo(&home, &["inspect", folder]).success().json();
        assert_eq!(inspected["Digest"], image.digest().as_str());
        let there = format!("docker://{t}/my-images/rhel7:7.5");
        skopeo(&home, &["copy", "--dest-creds=user:token", folder, &there]).success();
        skopeo(&home, &["inspect", "--creds=user:token", &there]).success();
    }
    assert_eq!(whole_layout(&target.root().join("u/test"))["v1"], image.digest());
}
