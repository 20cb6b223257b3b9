//! Why the system refused something, in the words of the people who read it.

use std::io;

/// The failures of files and of the network that people meet; of any other, its number.
pub fn in_spanish(error: &io::Error) -> String {
    use io::ErrorKind as K;
    let said = match error.kind() {
        K::NotFound => "no existe",
        K::PermissionDenied => "no hay permiso",
        K::IsADirectory => "es una carpeta",
        K::NotADirectory => "una parte de la ruta no es una carpeta",
        K::AlreadyExists => "ya existe",
        K::StorageFull => "no queda espacio en el disco",
        K::QuotaExceeded => "se agotó la cuota de disco",
        K::ReadOnlyFilesystem => "el disco es de solo lectura",
        K::InvalidFilename => "el nombre no es válido",
        K::ResourceBusy => "está en uso",
        K::AddrInUse => "la dirección ya está en uso",
        K::AddrNotAvailable => "la dirección no es de esta máquina",
        K::ConnectionRefused => "la conexión fue rechazada",
        K::ConnectionReset | K::BrokenPipe | K::ConnectionAborted => "la conexión se cortó",
        K::HostUnreachable | K::NetworkUnreachable => "no hay camino hasta allí",
        K::TimedOut => "se acabó el tiempo",
        K::UnexpectedEof => "lo que se leía llegó cortado",
        // The resolver's error has no number of the system.
        _ if error.to_string().starts_with("failed to lookup address") => "no se conoce ningún servidor con ese nombre",
        _ => return error.raw_os_error().map_or_else(|| error.to_string(), |n| format!("error {n} del sistema")),
    };
    said.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_own_words_are_never_repeated() {
        for number in 1..=130 {
            let error = io::Error::from_raw_os_error(number);
            let said = in_spanish(&error);
            assert!(!said.contains("os error"), "{number}: {said}");
        }
        assert_eq!(in_spanish(&io::Error::from_raw_os_error(5)), "error 5 del sistema");
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(in_spanish(&unknown), "no se conoce ningún servidor con ese nombre");
        assert_eq!(in_spanish(&io::Error::other("la clave no vale")), "la clave no vale");
    }
}
