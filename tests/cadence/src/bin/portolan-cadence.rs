//! `portolan-cadence RUNTIME FOLDER`: plays every scene on a native runtime, at the same time, and
//! writes the lines of each into a file of its name in the folder.

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), String> {
    use portolan_cadence::SCENES;
    use portolan_cadence::native::RUNTIMES;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runtime, folder] = &arguments[..] else {
        return Err("usage: portolan-cadence RUNTIME FOLDER".to_owned());
    };
    let runtime = RUNTIMES.iter().find(|known| known.name == *runtime);
    let runtime = runtime.ok_or("the runtimes are async-std, smol and tokio")?;
    let folder = std::path::Path::new(folder);
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    std::thread::scope(|scope| {
        let played: Vec<_> =
            SCENES.iter().map(|scene| (scene, scope.spawn(|| (runtime.play)(scene)))).collect();
        for (scene, lines) in played {
            let lines = lines.join().map_err(|_| format!("{}: it panicked", scene.name))??;
            let file = folder.join(scene.name).with_extension("txt");
            std::fs::write(file, lines.join("\n")).map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

#[cfg(target_arch = "wasm32")]
fn main() {}
