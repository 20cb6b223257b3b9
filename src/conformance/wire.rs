//! HTTP/1.1 as bytes: a client that sends exactly what it is told and a reader of what comes, for both sides the suite
//! plays. Uses no HTTP library, which would refuse to send or to show what a case is about.

use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::xml::{self, Documento, Elemento};

/// Largest head and body taken from a stranger, in bytes.
const HEAD_BYTES_MAX: usize = 128 * 1024;
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Room of one read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// Interim answers (1xx) passed by before the answer itself.
const INTERIM_MAX: usize = 16;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mensaje {
    /// `POST /x HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub linea: String,
    pub cabeceras: Vec<(String, String)>,
    pub cuerpo: Vec<u8>,
    /// It ended before it should have.
    pub cortado: bool,
    /// What came after it on the same connection, in bytes.
    pub sobra: usize,
}

impl Mensaje {
    pub fn cabecera(&self, name: &str) -> Option<&str> {
        self.cabeceras.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Of an answer.
    pub fn estado(&self) -> Option<u16> {
        self.linea.split(' ').nth(1)?.parse().ok()
    }

    /// The body as text, in the encoding that it says or seems to have.
    pub fn texto(&self) -> String {
        let charset = self.cabecera("content-type").and_then(|tipo| {
            let named = tipo.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
            let mut named = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
            named.next().map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned())
        });
        let encoding = charset.and_then(|c| encoding_rs::Encoding::for_label(c.as_bytes()));
        encoding.or_else(|| declarada(&self.cuerpo)).unwrap_or(encoding_rs::UTF_8).decode(&self.cuerpo).0.into_owned()
    }

    /// The compression of an answer; the suite asks for none.
    pub fn comprimido(&self) -> Option<&str> {
        self.cabecera("content-encoding")
            .map(str::trim)
            .filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case("identity"))
    }

    pub fn xml(&self) -> Result<Documento, String> {
        xml::leer(&self.texto())
    }

    /// The whole message, as bytes that can be shown.
    pub fn entero(&self) -> String {
        let mut text = format!("{}\r\n", self.linea);
        for (name, value) in &self.cabeceras {
            text += &format!("{name}: {value}\r\n");
        }
        text + "\r\n" + &self.texto()
    }
}

/// The encoding that an XML declaration names: it holds where nobody said another.
fn declarada(cuerpo: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    const DECLARATION_BYTES_MAX: usize = 200;
    let start = cuerpo.get(..cuerpo.len().min(DECLARATION_BYTES_MAX))?;
    let declaration = start.get(..find(start, b"?>")?).filter(|text| text.starts_with(b"<?xml"))?;
    let text = std::str::from_utf8(declaration).ok()?;
    let value = text.split_once("encoding")?.1.trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = value.get(1..)?.split(quote).next()?;
    // What could be read byte by byte so far is not of two bytes each.
    encoding_rs::Encoding::for_label(label.as_bytes()).filter(|encoding| encoding.is_ascii_compatible())
}

/// The child of a SOAP body.
pub fn operacion(documento: &Documento) -> Option<&Elemento> {
    documento.raiz.hijo("Body")?.hijos.first()
}

/// Bytes in pieces, with pauses between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guion {
    /// Each with the pause after it.
    pub piezas: Vec<(Vec<u8>, Duration)>,
    /// A `100 Continue` is waited for after the first piece.
    pub continua: bool,
    /// The connection is closed after the last piece, and no answer waited for.
    pub se_va: bool,
    /// Longer patience than usual: what is waited for is that the other side gives up.
    pub total: Option<Duration>,
    /// After the answer the connection is listened to for so long, or until it ends: what still comes is `sobra`.
    pub escucha: Duration,
}

impl Guion {
    pub fn de(bytes: Vec<u8>) -> Self {
        Self { piezas: vec![(bytes, Duration::ZERO)], ..Self::default() }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dicho {
    pub mensaje: Option<Mensaje>,
    /// Why there is no message, or none that is whole.
    pub error: Option<String>,
    pub duracion: Duration,
    /// Something had come before the whole request was sent.
    pub continuo: bool,
    /// Nothing ended it but our own patience.
    pub agotado: bool,
}

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destino {
    pub host: String,
    pub port: u16,
    pub https: bool,
    /// A certificate nobody vouches for is accepted.
    pub confia: bool,
}

impl Destino {
    /// The host without the brackets of an IPv6 address.
    fn nombre(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub fn autoridad(&self) -> String {
        let usual = if self.https { 443 } else { 80 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

trait Canal: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Canal for T {}

/// How an error begins that says that nobody was reached.
pub const SIN_CONEXION: &str = "no se pudo conectar";

/// Whether there is anybody at all.
pub(super) async fn alcanza(destino: &Destino) -> Result<(), String> {
    let reached = abrir(destino).await.map(drop);
    reached.map_err(|why| {
        let Destino { host, port, .. } = destino;
        format!(
            "{host}:{port}: {why}. Revise la dirección de --target y que el componente esté en marcha; nada se probó"
        )
    })
}

pub(super) async fn abrir(destino: &Destino) -> Result<TcpStream, String> {
    let connected = timeout(CONNECT, TcpStream::connect((destino.nombre(), destino.port))).await;
    connected
        .map_err(|_| format!("{SIN_CONEXION} en {} s", CONNECT.as_secs()))?
        .map_err(|e| format!("{SIN_CONEXION}: {}", crate::config::causes::in_spanish(&e)))
}

async fn conectar(destino: &Destino) -> Result<Box<dyn Canal>, String> {
    let stream = abrir(destino).await?;
    stream.set_nodelay(true).ok();
    if !destino.https {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(destino.nombre().to_owned())
        .map_err(|_| "el nombre del servidor no sirve para TLS".to_owned())?;
    let connector = tokio_rustls::TlsConnector::from(super::tls::client(destino.confia)?);
    let tls = timeout(CONNECT, connector.connect(name, stream)).await;
    let tls = tls
        .map_err(|_| "la negociación TLS no terminó".to_owned())?
        .map_err(|e| format!("TLS: {}", super::tls::razon(&e)))?;
    Ok(Box::new(tls))
}

/// Sends as the script says and reads one answer, within `total`.
pub async fn hablar(destino: &Destino, guion: &Guion, total: Duration) -> Dicho {
    let (began, total) = (Instant::now(), guion.total.unwrap_or(total));
    let mut dicho = Dicho { mensaje: None, error: None, duracion: Duration::ZERO, continuo: false, agotado: false };
    let talk = async {
        let canal = conectar(destino).await?;
        let (mut reader, mut writer) = tokio::io::split(canal);
        let mut got = Vec::new();
        for (n, (bytes, pause)) in guion.piezas.iter().enumerate() {
            // One who refuses early closes while the rest is still being sent: his answer is read all the same.
            if writer.write_all(bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
            if n == 0 && guion.continua && !continued(&mut reader, &mut got).await {
                break;
            }
            if !pause.is_zero() {
                sleep(*pause).await;
            }
        }
        if guion.se_va {
            drop(writer);
            return Ok((None, false));
        }
        let continuo = guion.continua && got.starts_with(b"HTTP/1.1 100");
        if let (true, Some(end)) = (continuo, find(&got, b"\r\n\r\n")) {
            got.drain(..end + 4);
        }
        let mut mensaje = leer(&mut reader, got, false).await?;
        if let Some(mensaje) = mensaje.as_mut().filter(|_| !guion.escucha.is_zero()) {
            let mut more = 0;
            // At the time's end what came until then is known.
            timeout(guion.escucha, despues(&mut reader, &mut more)).await.ok();
            mensaje.sobra = mensaje.sobra.saturating_add(more);
        }
        Ok((mensaje, continuo))
    };
    match timeout(total, talk).await {
        Ok(Ok((mensaje, continuo))) => (dicho.mensaje, dicho.continuo) = (mensaje, continuo),
        Ok(Err(error)) => dicho.error = Some(error),
        Err(_) => {
            dicho.agotado = true;
            dicho.error = Some(format!("no terminó de responder en {} s", total.as_secs()));
        }
    }
    if dicho.mensaje.is_none() && dicho.error.is_none() && !guion.se_va {
        dicho.error = Some("cerró la conexión sin responder".into());
    }
    dicho.duracion = began.elapsed();
    dicho
}

/// Counts what comes until the connection ends.
async fn despues<R: AsyncRead + Unpin>(reader: &mut R, count: &mut usize) {
    let mut room = vec![0; READ_BYTES];
    while *count < BODY_BYTES_MAX {
        match reader.read(&mut room).await {
            Ok(n) if n > 0 => *count += n,
            _ => return,
        }
    }
}

/// Whether the other side says that it wants the body; it may also say something final.
async fn continued<R: AsyncRead + Unpin>(reader: &mut R, got: &mut Vec<u8>) -> bool {
    const WAIT: Duration = Duration::from_secs(3);
    let mut room = vec![0; READ_BYTES];
    match timeout(WAIT, reader.read(&mut room)).await {
        Ok(Ok(n)) if n > 0 => {
            got.extend_from_slice(room.get(..n).unwrap_or_default());
            got.starts_with(b"HTTP/1.1 100")
        }
        Ok(_) => false,
        // Nobody has to say so: the body goes after a while.
        Err(_) => true,
    }
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

/// Reads one message. `got`: what has come already; `pedido`: a request, which has no body unless it says so.
/// `None`: the connection ended before the first byte.
pub async fn leer<R: AsyncRead + Unpin>(reader: &mut R, got: Vec<u8>, pedido: bool) -> Result<Option<Mensaje>, String> {
    leer_hasta(reader, got, pedido, BODY_BYTES_MAX).await
}

/// The same, with a body of at most `body_bytes_max`.
pub async fn leer_hasta<R: AsyncRead + Unpin>(
    reader: &mut R,
    mut got: Vec<u8>,
    pedido: bool,
    body_bytes_max: usize,
) -> Result<Option<Mensaje>, String> {
    for _ in 0..INTERIM_MAX {
        let Some((mut mensaje, rest)) = cabeza(reader, got).await? else { return Ok(None) };
        // What is told on the way is not the answer; 101 is one, of another protocol.
        if !pedido && mensaje.estado().is_some_and(|status| (100..200).contains(&status) && status != 101) {
            got = rest;
            continue;
        }
        cuerpo(reader, &mut mensaje, rest, pedido, body_bytes_max).await?;
        return Ok(Some(mensaje));
    }
    Err("no dejó de enviar respuestas intermedias (1xx)".into())
}

/// A message's head, and what came after it.
async fn cabeza<R: AsyncRead + Unpin>(reader: &mut R, mut got: Vec<u8>) -> Result<Option<(Mensaje, Vec<u8>)>, String> {
    let broken = |e: &std::io::Error| format!("la conexión se cortó: {}", crate::config::causes::in_spanish(e));
    let end = loop {
        if let Some(end) = find(&got, b"\r\n\r\n") {
            break end;
        }
        if got.len() > HEAD_BYTES_MAX {
            return Err("la cabecera es demasiado grande".into());
        }
        match more(reader, &mut got).await {
            Ok(0) if got.is_empty() => return Ok(None),
            Ok(0) => return Err("la conexión terminó en medio de la cabecera".into()),
            Ok(_) => {}
            Err(e) if got.is_empty() && e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
            Err(e) => return Err(broken(&e)),
        }
    };
    let head = String::from_utf8_lossy(got.get(..end).unwrap_or_default()).into_owned();
    let mut lines = head.split("\r\n");
    let linea = lines.next().unwrap_or_default().to_owned();
    let cabeceras =
        lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n.trim().to_owned(), v.trim().to_owned())).collect();
    let rest = got.split_off(end + 4);
    Ok(Some((Mensaje { linea, cabeceras, ..Mensaje::default() }, rest)))
}

async fn cuerpo<R: AsyncRead + Unpin>(
    reader: &mut R,
    mensaje: &mut Mensaje,
    mut rest: Vec<u8>,
    pedido: bool,
    body_bytes_max: usize,
) -> Result<(), String> {
    let chunked = mensaje.cabecera("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"));
    let length = mensaje.cabecera("content-length").and_then(|v| v.parse::<usize>().ok());
    let empty = matches!(mensaje.estado(), Some(204 | 304));
    if chunked {
        (mensaje.cuerpo, mensaje.cortado, mensaje.sobra) = chunks(reader, rest, body_bytes_max).await?;
    } else if let Some(length) = length.or((pedido || empty).then_some(0)) {
        if length > body_bytes_max {
            return Err("el cuerpo es demasiado grande".into());
        }
        while rest.len() < length {
            match more(reader, &mut rest).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        mensaje.cortado = rest.len() < length;
        mensaje.sobra = rest.len().saturating_sub(length);
        rest.truncate(length);
        mensaje.cuerpo = rest;
    } else {
        while rest.len() < body_bytes_max && matches!(more(reader, &mut rest).await, Ok(n) if n > 0) {}
        mensaje.cuerpo = rest;
    }
    Ok(())
}

async fn more<R: AsyncRead + Unpin>(reader: &mut R, into: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut room = vec![0; READ_BYTES];
    let n = reader.read(&mut room).await?;
    into.extend_from_slice(room.get(..n).unwrap_or_default());
    Ok(n)
}

/// A body in chunks: its bytes, whether it ended early, and how much came after it.
async fn chunks<R: AsyncRead + Unpin>(
    reader: &mut R,
    mut rest: Vec<u8>,
    body_bytes_max: usize,
) -> Result<(Vec<u8>, bool, usize), String> {
    let (mut body, mut at) = (Vec::new(), 0usize);
    loop {
        let Some(line) = rest.get(at..).and_then(|r| find(r, b"\r\n")) else {
            if rest.len() > at + HEAD_BYTES_MAX || !matches!(more(reader, &mut rest).await, Ok(n) if n > 0) {
                return Ok((body, true, 0));
            }
            continue;
        };
        let text = String::from_utf8_lossy(rest.get(at..at + line).unwrap_or_default()).into_owned();
        let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16);
        let size = size.map_err(|_| "un trozo del cuerpo tiene un tamaño que no es un número".to_owned())?;
        if size > body_bytes_max || body.len() + size > body_bytes_max {
            return Err("el cuerpo es demasiado grande".into());
        }
        if size == 0 {
            // Fields may follow the last chunk; an empty line ends them. The line's own end is part of what is looked for.
            loop {
                let after = rest.get(at + line..).unwrap_or_default();
                if let Some(end) = find(after, b"\r\n\r\n") {
                    return Ok((body, false, after.len().saturating_sub(end + 4)));
                }
                let endless = after.len() > HEAD_BYTES_MAX;
                if endless || !matches!(more(reader, &mut rest).await, Ok(n) if n > 0) {
                    return Ok((body, endless, 0));
                }
            }
        }
        let (from, to) = (at + line + 2, at + line + 2 + size);
        while rest.len() < to + 2 {
            if !matches!(more(reader, &mut rest).await, Ok(n) if n > 0) {
                return Ok((body, true, 0));
            }
        }
        body.extend_from_slice(rest.get(from..to).unwrap_or_default());
        at = to + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8], pedido: bool) -> Mensaje {
        leer(&mut &*bytes, Vec::new(), pedido).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn bodies_by_length_by_chunks_and_to_the_end_are_read() {
        let m = read(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nholaX", false).await;
        assert_eq!((m.estado(), m.texto(), m.sobra, m.cortado), (Some(200), "hola".into(), 1, false));
        let m = read(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n2;x=y\r\nla\r\n0\r\n\r\n", true)
            .await;
        assert_eq!((m.texto(), m.cortado), ("hola".into(), false));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\nhola", false).await.texto(), "hola");
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\nhola", true).await.sobra, 4);
        assert!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhola", false).await.cortado);
    }

    #[tokio::test]
    async fn a_body_without_end_is_not_read_without_end() {
        let huge = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        assert!(leer(&mut huge.as_bytes(), Vec::new(), false).await.is_err());
        let head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_BYTES_MAX * 2));
        assert!(leer(&mut head.as_bytes(), Vec::new(), false).await.is_err());
    }

    #[tokio::test]
    async fn other_encodings_are_decoded() {
        let m = read(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=ISO-8859-1\r\nContent-Length: 1\r\n\r\n\xf1",
            false,
        );
        assert_eq!(m.await.texto(), "ñ");
        for head in ["Content-Type: text/xml", "Content-Type: text/xml; Charset=\"ISO-8859-1\""] {
            let xml = b"<?xml version='1.0' encoding=\"ISO-8859-1\"?><a>\xf1</a>";
            let m = read(&[b"HTTP/1.1 200 OK\r\n", head.as_bytes(), b"\r\n\r\n", xml].concat(), false).await;
            assert!(m.texto().contains("<a>ñ</a>"), "{head}: {}", m.texto());
        }
    }

    #[tokio::test]
    async fn what_is_told_on_the_way_is_not_the_answer_and_trailers_are_part_of_it() {
        let m = read(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhola",
            false,
        );
        let m = m.await;
        assert_eq!((m.estado(), m.texto()), (Some(200), "hola".into()));
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let m = read(&[&head[..], b"2\r\nho\r\n0\r\nX-Fin: si\r\n\r\n"].concat(), false).await;
        assert_eq!((m.texto(), m.cortado, m.sobra), ("ho".into(), false, 0));
        assert_eq!(read(&[&head[..], b"0\r\n\r\nHTTP/1.1"].concat(), false).await.sobra, 8);
        assert!(leer(&mut "HTTP/1.1 100 Continue\r\n\r\n".repeat(99).as_bytes(), Vec::new(), false).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_that_comes_later_on_the_same_connection_is_heard() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            sleep(Duration::from_millis(200)).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        });
        let destino = Destino { host: "127.0.0.1".into(), port, https: false, confia: false };
        let guion = Guion { escucha: Duration::from_secs(30), ..Guion::de(b"GET / HTTP/1.1\r\n\r\n".to_vec()) };
        let dicho = hablar(&destino, &guion, Duration::from_secs(60)).await;
        assert!(dicho.mensaje.is_some_and(|m| m.sobra > 0));
    }
}
