//! The commands that a server gets, as an operator with `MONITOR` sees them.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::server::HARNESS;
use super::{Reply, Server, eventually};

/// Records all commands of clients, and those of scripts.
#[derive(Debug)]
pub struct Monitor<'a> {
    server: &'a Server,
    stream: UnixStream,
    lines: Arc<Mutex<Vec<String>>>,
}

impl<'a> Monitor<'a> {
    pub fn start(server: &'a Server) -> Self {
        let mut stream = UnixStream::connect(server.socket()).unwrap();
        write!(stream, "AUTH {HARNESS} {HARNESS}\r\nMONITOR\r\n").unwrap();
        let mut received = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        assert_eq!([received.next(), received.next()].map(Option::unwrap), ["+OK", "+OK"]);
        let lines = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&lines);
        thread::spawn(move || received.for_each(|line| recorded.lock().unwrap().push(line)));
        Self { server, stream, lines }
    }

    /// Returns the lines so far, without the commands of the tests themselves.
    pub fn lines(&self) -> Vec<String> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let mark = format!("mark {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        assert_eq!(self.server.command(&["ECHO", &mark]), Reply::from(&*mark));
        let has_mark = |lines: &Vec<String>| lines.iter().any(|line| line.contains(&format!("\"{mark}\"")));
        let lines = eventually("the monitor shows a command", || {
            let lines = self.lines.lock().unwrap();
            has_mark(&lines).then(|| lines.clone())
        });
        lines.into_iter().filter(|line| !line.contains(" unix:")).collect()
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
