//! Providers that do not answer as they should: bounded time, bounded size, a clear reason.

use std::time::Duration;

use surety_client::{Limits, ProviderRpc, RpcError};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// A server that reads a request and sends these bytes; `None` never answers.
async fn server(answer: Option<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _read = stream.read(&mut buffer).await;
                match answer {
                    Some(bytes) => {
                        let _written = stream.write_all(&bytes).await;
                    }
                    None => tokio::time::sleep(Duration::from_secs(60)).await,
                }
            });
        }
    });
    url
}

fn http(body: &str) -> Option<Vec<u8>> {
    Some(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}

async fn ask(answer: Option<Vec<u8>>) -> Result<u64, RpcError> {
    let limits = Limits {
        timeout: Duration::from_millis(500),
        max_answer: 1_000,
        ..Limits::default()
    };
    ProviderRpc::new(&server(answer).await, limits)
        .expect("url")
        .chain_id()
        .await
}

#[tokio::test]
async fn answers_of_every_kind() {
    assert_eq!(
        ask(http(r#"{"jsonrpc":"2.0","id":1,"result":"0x7a69"}"#)).await,
        Ok(31_337)
    );
    let declined = ask(http(
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32010,"message":"no","data":"0x01"}}"#,
    ))
    .await;
    assert!(
        matches!(&declined, Err(RpcError::Declined { code: -32010, .. })),
        "{declined:?}"
    );
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"result":[7]}"#,
        r#"{"result":"0xzz"}"#,
        r#"{"error":7}"#,
        "{}",
    ] {
        let outcome = ask(http(body)).await;
        assert!(
            matches!(&outcome, Err(RpcError::Malformed { .. })),
            "{body}: {outcome:?}"
        );
    }
    assert!(matches!(ask(None).await, Err(RpcError::Timeout { .. })));
    assert!(matches!(
        ask(http(&" ".repeat(2_000))).await,
        Err(RpcError::TooLong { max: 1_000, .. })
    ));
    assert!(matches!(
        ask(Some(b"nonsense".to_vec())).await,
        Err(RpcError::Unreachable { .. })
    ));
    // A redirection is not followed: the registry named this endpoint and no other.
    let away = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec();
    assert!(matches!(ask(Some(away)).await, Err(RpcError::Malformed { .. })));
}

#[tokio::test]
async fn nobody_there() {
    let limits = Limits {
        timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let rpc = ProviderRpc::new("http://127.0.0.1:1", limits.clone()).expect("url");
    assert!(matches!(rpc.chain_id().await, Err(RpcError::Unreachable { .. })));
    for url in ["", "nonsense", "ftp://x", "file:///etc/passwd"] {
        assert!(ProviderRpc::new(url, limits.clone()).is_err(), "{url}");
    }
}
