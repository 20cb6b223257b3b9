//! Steps that data can't express, by their names: descriptions compared, many requests at once, measurements, TLS.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    case::{Paso, Pedido},
    checks::Visto,
    envelope::Operacion,
    operator::NoHecho,
    runner::Corrida,
    steps::{Fin, Hilo},
    wire::{self, Guion, Mensaje},
    wsdl::{self, Descripcion},
};
use crate::contract;

/// Imports of a description that are followed.
const IMPORTA_MAX: usize = 5;

fn mal(encontrado: Vec<String>) -> Fin {
    Fin::Mal { encontrado, visto: Box::default(), remedio: None }
}

fn escrito(why: impl Into<String>) -> Fin {
    Fin::NoEjecutado(format!("el caso está mal escrito: {}", why.into()))
}

/// Runs the step `name`, whose words may be arguments.
pub(super) async fn paso(corrida: &mut Corrida<'_>, name: &str, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
    let words: Vec<&str> = name.split(' ').collect();
    let number = |n: usize| words.get(n).and_then(|w| w.parse::<usize>().ok()).unwrap_or(1);
    match words.as_slice() {
        ["wsdl", what] => descripcion(corrida, what, hilo).await,
        ["a_la_vez", "iguales", _] => a_la_vez(corrida, number(2), true, hilo).await,
        ["a_la_vez", "distintos", _] => a_la_vez(corrida, number(2), false, hilo).await,
        ["contar", expected] => contar(corrida, expected, hilo).await,
        ["medir", "consulta", _] => medir(corrida, Operacion::Consulta, number(2), hilo).await,
        ["medir", "recepcion", _] => medir(corrida, Operacion::Recepcion, number(2), hilo).await,
        ["conexiones", _] => conexiones(corrida, number(1), paso, hilo).await,
        ["tls"] => tls(corrida, hilo).await,
        ["entidad_externa"] => entidad_externa(corrida, paso, hilo).await,
        _ => Err(escrito(format!("no hay un paso «{name}»"))),
    }
}

async fn obtiene(corrida: &Corrida<'_>, path: &str, que: &str, hilo: &mut Hilo) -> Visto {
    let host = corrida.opciones.destino.autoridad();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    corrida.envia(&Guion::de(head.clone().into_bytes()), &head, que, hilo).await
}

/// The component's description, with what it imports from the same place.
async fn obtenida(corrida: &Corrida<'_>, hilo: &mut Hilo) -> Result<Descripcion, Fin> {
    let path = format!("{}?wsdl", corrida.opciones.ruta);
    let visto = obtiene(corrida, &path, "Pedir el WSDL", hilo).await;
    let Some(mensaje) = visto.mensaje.as_ref().filter(|m| m.estado() == Some(200)) else {
        return Err(mal(vec![format!("no se obtuvo el WSDL en ?wsdl: {}", visto.resumen())]));
    };
    let text = mensaje.texto();
    let unreadable = |why: String| mal(vec![format!("el WSDL no se puede leer: {why}")]);
    let mut found = wsdl::leer(&text, &[]).map_err(unreadable)?;
    let mut mas = Vec::new();
    while let Some(location) = found.importa.get(mas.len()).cloned().filter(|_| mas.len() < IMPORTA_MAX) {
        let path = match reqwest::Url::parse(&location) {
            Ok(url) => url.query().map_or_else(|| url.path().to_owned(), |q| format!("{}?{q}", url.path())),
            Err(_) => location,
        };
        if path.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(mal(vec![format!("el WSDL importa «{path}», que no es una dirección")]));
        }
        let visto = obtiene(corrida, &path, "Pedir lo que el WSDL importa", hilo).await;
        mas.push(visto.mensaje.map(|m| m.texto()).unwrap_or_default());
        found = wsdl::leer(&text, &mas).map_err(unreadable)?;
    }
    Ok(found)
}

async fn descripcion(corrida: &mut Corrida<'_>, what: &str, hilo: &mut Hilo) -> Result<(), Fin> {
    let found = obtenida(corrida, hilo).await?;
    let own = wsdl::leer(contract::wsdl::TRAMITE, &[]).map_err(escrito)?;
    let must = |holds: bool, text: String| if holds { Ok(()) } else { Err(mal(vec![text])) };
    match what {
        "existe" => Ok(()),
        "espacio" => must(found.espacio == own.espacio, format!("targetNamespace es «{}»", found.espacio)),
        "operaciones" => {
            let missing: Vec<_> = own.operaciones.difference(&found.operaciones).cloned().collect();
            must(missing.is_empty(), format!("faltan operaciones: {}", missing.join(", ")))
        }
        "estilo" => {
            let bad = found.enlaces.iter().find(|(_, (style, _))| style != "document");
            must(
                bad.is_none() && found.usos.iter().all(|u| u == "literal") && !found.enlaces.is_empty(),
                format!("el enlace no es document/literal: {:?} {:?}", found.enlaces, found.usos),
            )
        }
        "accion" => {
            let bad = found.enlaces.iter().find(|(_, (_, action))| !action.is_empty());
            must(bad.is_none(), format!("SOAPAction debía ser vacía y es {bad:?}"))
        }
        "campos" => {
            let missing = wsdl::diferencias_de_campos(&own, &found);
            if missing.is_empty() { Ok(()) } else { Err(mal(missing)) }
        }
        "orden" => {
            let differs = own.orden.iter().filter(|(path, order)| found.orden.get(*path).is_some_and(|o| o != *order));
            let paths: Vec<_> = differs.map(|(path, _)| format!("{path} tiene sus campos en otro orden")).collect();
            if paths.is_empty() { Ok(()) } else { Err(mal(paths)) }
        }
        "direccion" => {
            let asked = &corrida.opciones.destino;
            let same = |a: &String| {
                reqwest::Url::parse(a).is_ok_and(|u| {
                    u.host_str() == Some(asked.host.as_str())
                        && u.port_or_known_default() == Some(asked.port)
                        && u.path() == corrida.opciones.ruta
                })
            };
            if found.direcciones.iter().any(same) {
                return Ok(());
            }
            hilo.tolerado = true;
            hilo.notas.push(format!(
                "el WSDL dice la dirección «{}» y se llegó por «{}»; está bien si un proxy inverso publica la primera",
                found.direcciones.join(", "),
                corrida.opciones.url
            ));
            must(!found.direcciones.is_empty(), "el WSDL no dice ninguna dirección".into())
        }
        other => Err(escrito(format!("no se compara «{other}»"))),
    }
}

/// The same CUO at the same time: the same document, or different ones.
async fn a_la_vez(corrida: &mut Corrida<'_>, n: usize, iguales: bool, hilo: &mut Hilo) -> Result<(), Fin> {
    let mut all = Vec::new();
    for i in 0..n.min(32) {
        let mut pedido = Pedido::default();
        if !iguales {
            pedido.campos.insert("vasu".into(), format!("{{marca}} distinto {i}"));
        }
        all.push(corrida.guion(Operacion::Recepcion, &pedido, hilo)?);
    }
    let mut running = JoinSet::new();
    for (guion, _) in &all {
        let (destino, guion, wait) = (corrida.opciones.destino.clone(), guion.clone(), corrida.opciones.espera);
        running.spawn(async move { wire::hablar(&destino, &guion, wait).await });
    }
    let seen: Vec<Visto> = running.join_all().await.into_iter().map(Visto::from).collect();
    let codes: Vec<String> = seen.iter().map(|v| v.campo("vcodres").unwrap_or("(nada)").trim().to_owned()).collect();
    hilo.evidencia.push(super::report::Evidencia {
        paso: format!("Enviar {n} veces a la vez"),
        inicio: hilo.mundo.ahora,
        milisegundos: seen.iter().map(|v| v.ms).max().unwrap_or(0),
        pedido: super::evidence::corto(&all.first().map(|(_, t)| t.clone()).unwrap_or_default()),
        respuesta: seen.iter().map(Visto::resumen).collect::<Vec<_>>().join("\n"),
    });
    let accepted = codes.iter().filter(|c| *c == "0000").count();
    let refused = codes.iter().filter(|c| *c == "0003").count();
    let good = if iguales { accepted == n } else { accepted == 1 && refused == n - 1 };
    let expected = if iguales { "todos 0000" } else { "uno 0000 y los demás 0003" };
    if good { Ok(()) } else { Err(mal(vec![format!("respondió {} y debía responder {expected}", codes.join(", "))])) }
}

/// How many records the entity has of the CUO, where its operator can tell.
async fn contar(corrida: &mut Corrida<'_>, expected: &str, hilo: &mut Hilo) -> Result<(), Fin> {
    let con: BTreeMap<String, String> =
        [("cuo".to_owned(), hilo.mundo.cuos.get("").cloned().unwrap_or_default())].into();
    match corrida.operador.hacer("contar", &con, &[]).await {
        Ok(hecho) if hecho.get("cantidad").map(String::as_str) == Some(expected) => Ok(()),
        Ok(hecho) => {
            let found = hecho.get("cantidad").cloned().unwrap_or_default();
            Err(mal(vec![format!("la entidad tiene {found} registros de este CUO y debía tener {expected}")]))
        }
        Err(NoHecho::NoPuede(why)) => {
            hilo.sin_ver.get_or_insert(format!("no se pudo contar lo guardado: {why}"));
            Ok(())
        }
        Err(NoHecho::Fallo(why)) => Err(mal(vec![why])),
    }
}

/// How long `n` requests take, one after another; judges nothing but that they are answered.
async fn medir(corrida: &mut Corrida<'_>, operacion: Operacion, n: usize, hilo: &mut Hilo) -> Result<(), Fin> {
    let mut times = Vec::new();
    for i in 0..n.min(100) {
        let mut pedido = Pedido::default();
        if operacion == Operacion::Recepcion {
            pedido.campos.insert("vcuo".into(), format!("{{cuo:{i}}}"));
        }
        let (guion, text) = corrida.guion(operacion, &pedido, hilo)?;
        let dicho = wire::hablar(&corrida.opciones.destino, &guion, corrida.opciones.espera).await;
        let visto = Visto::from(dicho);
        if visto.campo("vcodres").is_none() {
            return Err(mal(vec![format!("la petición {} no tuvo respuesta: {}", i + 1, visto.resumen())]));
        }
        if i == 0 {
            hilo.evidencia.push(super::report::Evidencia {
                paso: "La primera de las peticiones medidas".into(),
                inicio: hilo.mundo.ahora,
                milisegundos: visto.ms,
                pedido: super::evidence::corto(&text),
                respuesta: super::evidence::respuesta(&visto),
            });
        }
        times.push(visto.ms);
    }
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100).copied().unwrap_or(0);
    hilo.notas.push(format!(
        "{} peticiones, una tras otra: mediana {} ms, 90 % en {} ms, la más lenta {} ms",
        times.len(),
        at(50),
        at(90),
        at(100)
    ));
    Ok(())
}

/// Others that connect and send half a head do not keep the next one from being answered.
async fn conexiones(corrida: &mut Corrida<'_>, n: usize, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
    let destino = corrida.opciones.destino.clone();
    let mut held = Vec::new();
    for _ in 0..n.min(500) {
        let Ok(Ok(mut stream)) = tokio::time::timeout(
            Duration::from_secs(5),
            TcpStream::connect((destino.host.trim_matches(['[', ']']), destino.port)),
        )
        .await
        else {
            break;
        };
        stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nX-A: ").await.ok();
        held.push(stream);
    }
    hilo.notas.push(format!("{} conexiones abiertas a medias", held.len()));
    let (guion, text) = corrida.guion(Operacion::Consulta, &Pedido::default(), hilo)?;
    let began = Instant::now();
    let visto = corrida.envia(&guion, &text, "Consultar mientras otros callan", hilo).await;
    hilo.notas.push(format!("la consulta tardó {} ms", began.elapsed().as_millis()));
    drop(held);
    corrida.juzga(paso, visto, hilo)
}

/// A file that every Unix has, of one short line: what is read of it fits into the subject and is stored.
const ARCHIVO_CORTO: &str = "file:///etc/hostname";
/// How long a reader that fetches an entity late is waited for.
const TRAS_RESPUESTA: Duration = Duration::from_millis(300);

/// A document whose subject is an external entity: one that the suite itself serves, and knows whether it was fetched, and
/// a file. Both must be refused as messages with a DTD.
async fn entidad_externa(corrida: &mut Corrida<'_>, paso: &Paso, hilo: &mut Hilo) -> Result<(), Fin> {
    let unseen = |why: String| Fin::NoEjecutado(format!("no se pudo escuchar lo que el componente pediría: {why}"));
    let (url, hits, _serving) = cebo(&corrida.opciones.destino).await.map_err(unseen)?;
    for (system, que) in [
        (url.as_str(), "Enviar una entidad externa que la suite sirve"),
        (ARCHIVO_CORTO, "Enviar una entidad que es un archivo"),
    ] {
        let doctype = format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"{system}\">]><soapenv:Envelope");
        let pedido = Pedido {
            campos: [("vasu".to_owned(), "ENTIDAD".to_owned())].into(),
            reemplaza: vec![["<soapenv:Envelope".into(), doctype], ["<vasu>ENTIDAD".into(), "<vasu>&e;".into()]],
            ..Pedido::default()
        };
        let (guion, text) = corrida.guion(Operacion::Recepcion, &pedido, hilo)?;
        let visto = corrida.envia(&guion, &text, que, hilo).await;
        if system == url {
            tokio::time::sleep(TRAS_RESPUESTA).await;
        }
        if hits.load(Ordering::SeqCst) > 0 {
            let encontrado =
                vec![format!("el componente pidió {system} al leer el mensaje: resuelve entidades externas")];
            return Err(Fin::Mal { encontrado, visto: Box::new(visto), remedio: None });
        }
        corrida.juzga(paso, visto, hilo)?;
    }
    Ok(())
}

/// A server of one short text, at the address by which this machine reaches the component; and how often it was asked.
async fn cebo(destino: &wire::Destino) -> Result<(String, Arc<AtomicUsize>, AbortOnDropHandle<()>), String> {
    const CONNECTIONS_MAX: usize = 16;
    const BODY: &str = "LEIDO DE FUERA";
    let failed = |e: std::io::Error| crate::config::causes::in_spanish(&e);
    let own = wire::abrir(destino).await?.local_addr().map_err(failed)?.ip();
    let listener = TcpListener::bind((own, 0)).await.map_err(failed)?;
    let url = format!("http://{}/entidad", listener.local_addr().map_err(failed)?);
    let hits = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&hits);
    let serving = tokio::spawn(async move {
        for _ in 0..CONNECTIONS_MAX {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            count.fetch_add(1, Ordering::SeqCst);
            let mut room = [0; 4096];
            tokio::time::timeout(TRAS_RESPUESTA, stream.read(&mut room)).await.ok();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n", BODY.len());
            stream.write_all(format!("{head}Connection: close\r\n\r\n{BODY}").as_bytes()).await.ok();
        }
    });
    Ok((url, hits, AbortOnDropHandle::new(serving)))
}

/// Which TLS is spoken, and for how long the certificate is good.
async fn tls(corrida: &mut Corrida<'_>, hilo: &mut Hilo) -> Result<(), Fin> {
    let strict = wire::Destino { confia: false, ..corrida.opciones.destino.clone() };
    let head = format!(
        "GET {}?wsdl HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        corrida.opciones.ruta,
        strict.autoridad()
    );
    let dicho = wire::hablar(&strict, &Guion::de(head.into_bytes()), corrida.opciones.espera).await;
    match dicho {
        wire::Dicho { mensaje: Some(Mensaje { .. }), .. } => Ok(()),
        wire::Dicho { error, .. } => {
            let error = error.unwrap_or_else(|| "no respondió".into());
            hilo.notas.push("un certificado que nadie avala obliga a la otra parte a no verificarlo".into());
            Err(mal(vec![format!("con verificación del certificado: {error}")]))
        }
    }
}
