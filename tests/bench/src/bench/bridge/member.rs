//! What every way leads to: sends, swallows or returns bytes, as the first one says.
//!
//! A thread of its own, as a member is a process of its own.

use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What a member is told first.
pub const ECHO: &[u8] = b"e";

/// Tells it to send `count` bytes.
pub fn send(count: u64) -> Vec<u8> {
    [b"d".as_slice(), &count.to_be_bytes()].concat()
}

/// Tells it to read `count` bytes and then to send one.
pub fn swallow(count: u64) -> Vec<u8> {
    [b"u".as_slice(), &count.to_be_bytes()].concat()
}

/// Starts it; it listens when this returns, and ends with the program.
pub fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match stream.read_u8().await? {
        b'd' => {
            let (mut left, buffer) = (stream.read_u64().await?, vec![0; 64 * 1024]);
            while left > 0 {
                let count = left.min(buffer.len() as u64);
                stream.write_all(&buffer[..count as usize]).await?;
                left -= count;
            }
        }
        b'u' => {
            let (mut left, mut buffer) = (stream.read_u64().await?, vec![0; 64 * 1024]);
            while left > 0 {
                left -= match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    count => count as u64,
                };
            }
            stream.write_u8(0).await?;
        }
        _ => {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await?;
        }
    }
    // The client ends it.
    stream.read_u8().await.map(drop)
}
