//! The cache of compiled plugins holds native code: only what this host wrote is ever loaded (I3).

use std::path::PathBuf;

use nephron_gateway::OpenError;
use nephron_model::Digest;
use nephron_tests::{Setup, component};

fn cached(data: &std::path::Path, digest: Digest) -> PathBuf {
    let aot = data.join("host/aot");
    std::fs::read_dir(aot)
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&digest.hex())
        })
        .unwrap()
}

#[tokio::test]
async fn i3_native_code_that_this_host_did_not_write_is_compiled_anew() {
    let setup = Setup::default()
        .decider("does-nothing", "")
        .detector("spans-overlapping", "");
    let [decider, detector] = ["does-nothing", "spans-overlapping"]
        .map(|guest| Digest::of(&std::fs::read(component(guest)).unwrap()));
    let folder = setup.open().await.close();
    let data = folder.path();
    let file = cached(data, decider);
    let good = std::fs::read(&file).unwrap();
    // Untouched, it is used as it is.
    setup.open_at(data).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), good);

    // A data folder of another host, which has a root key of its own.
    let other = tempfile::tempdir().unwrap();
    setup.open_at(other.path()).await.unwrap();
    let of_another_host = std::fs::read(cached(other.path(), decider)).unwrap();
    let of_another_plugin = std::fs::read(cached(data, detector)).unwrap();
    assert_ne!(of_another_host, good);

    let mut damaged = vec![of_another_host, of_another_plugin, Vec::new()];
    for place in [0, 8, 39, 40, 44, 60, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        damaged.push(bytes);
    }
    damaged.push(good[..good.len() - 1].to_vec());
    damaged.push([good.as_slice(), b"x"].concat());
    for (case, bytes) in damaged.into_iter().enumerate() {
        std::fs::write(&file, bytes).unwrap();
        setup.open_at(data).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), good, "case {case}");
    }
}

#[tokio::test]
async fn a_limit_that_is_lowered_holds_for_what_is_cached_too() {
    let setup = |fuel: &str| {
        let limits = format!("[plugin.limits]\n{fuel}\n");
        Setup::default().decider("does-nothing", &limits)
    };
    let folder = setup("").open().await.close();
    let data = folder.path();
    let decider = Digest::of(&std::fs::read(component("does-nothing")).unwrap());
    let file = cached(data, decider);
    let made = std::fs::read(&file).unwrap();
    // Less fuel than `configure` takes: that it was configured once, with more, does not count.
    let refused = setup("configure-fuel = 1").open_at(data).await.unwrap_err();
    assert!(matches!(refused, OpenError::Load(_)), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), made);
    // Enough, and less than before: it is made anew, once; more than that needs nothing new.
    setup("configure-fuel = 10_000_000_000")
        .open_at(data)
        .await
        .unwrap();
    let anew = std::fs::read(&file).unwrap();
    assert_ne!(anew, made);
    setup("").open_at(data).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), anew);
}
