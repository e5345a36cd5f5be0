//! The lines for a shell in `docs/command-line.md`, run as they stand there.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_guide_runs() {
    let world = World::new().await;
    if world.bash("PATH=$PATH:/usr/bin:/bin; command -v jq && [ -x /usr/bin/curl ]").await.code != 0 {
        assert!(std::env::var_os("CI").is_none(), "the lines need curl and jq");
        println!("no curl or no jq on this machine: nothing was checked");
        return;
    }
    // A curl that takes the emulator for the vendors, and whose failures show.
    let folder = world.home.join("bin");
    fs::create_dir(&folder).unwrap();
    let curl = format!(
        "#!/usr/bin/env bash\nexec /usr/bin/curl --fail --silent --connect-to ::{} \"${{@/#https:/http:}}\"\n",
        world.emulator.address()
    );
    fs::write(folder.join("curl"), curl).unwrap();
    fs::set_permissions(folder.join("curl"), fs::Permissions::from_mode(0o755)).unwrap();

    let guide = include_str!("../../docs/command-line.md");
    let blocks: Vec<&str> = guide.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6, "{blocks:?}");
    for block in blocks {
        let run = world.bash(&format!("PATH={}:$PATH\n{block}", folder.display())).await;
        assert_eq!(run.code, 0, "{block}{run:?}");
    }
    for request in world.emulator.requests() {
        assert!(request.status.is_some_and(|status| status < 300), "{}: {:?}", request.operation, request.status);
    }
    assert!(world.emulator.count("echo") >= 1 && world.emulator.count("api") >= 2);
}
