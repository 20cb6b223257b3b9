<?php
/*
 * Holds a bridge to what SGDs expect of it. Runs against any host:
 *
 *     PUENTE_URL=http://HOST:8080/componente-proxy/rest PUENTE_ACCESO=user_access_api PUENTE_DESTINO=RUC \
 *     PUENTE_PDF=oficio.pdf php prueba.php PART...
 *
 *     acceso                      ping, who is let in and who is not, the list of entities
 *     envio NUMBER                sends a document, repeats it, reads the local copy, asks the receiver
 *     subsanacion NUMBER OBSERVED sends the document that corrects OBSERVED, which its receiver observed
 *     cargo NUMBER                reads the cargo of a document that was received, here and from its receiver
 *     respuesta TAKEN OBJECTED    answers two documents that arrived under these numbers, one each way
 *
 * Says what holds, line by line; ends with 1 at the first thing that does not.
 */

declare(strict_types=1);

require __DIR__ . '/puente.php';

function holds(string $what, bool $true, mixed $seen = null): void
{
    if (!$true) {
        fwrite(STDERR, "FAILS: $what\n" . json_encode($seen, JSON_UNESCAPED_UNICODE | JSON_PARTIAL_OUTPUT_ON_ERROR) . "\n");
        exit(1);
    }
    echo "ok: $what\n";
}

function pdf(): string
{
    return file_get_contents(getenv('PUENTE_PDF') ?: throw new RuntimeException('PUENTE_PDF is missing'));
}

function destino(): string
{
    return getenv('PUENTE_DESTINO') ?: throw new RuntimeException('PUENTE_DESTINO is missing');
}

function despacho(string $numero): array
{
    return [
        'vnumregstd' => $numero,
        'bpdfdoc' => base64_encode(pdf()),
        'vusureg' => 'jperez',
        'vnomentrec' => 'ENTIDAD DE DESTINO',
        'vrucentrec' => destino(),
        'ccodtipdoc' => '01',
        'vnumdoc' => '1000 OTI-PRUEBA',
        'vuniorgrem' => 'OFICINA DE TECNOLOGÍA',
        'vcoduniorgrem' => 'OTI',
        'ctipdociderem' => '1',
        'vnumdociderem' => '40633367',
        'vuniorgdst' => 'OFICINA DE SISTEMAS',
        'vnomdst' => 'MARÍA ÑAHUI',
        'vnomcardst' => 'JEFA',
        'vasu' => 'Prueba de envío: «señal» & más',
        'vnomdoc' => 'documento.pdf',
        'snumfol' => 1,
        'lstanexos' => [['vnomdoc' => 'anexo 01'], ['vnomdoc' => 'anexo 02']],
        'vurldocanx' => 'http://sgd.entidad.gob.pe/anexos',
    ];
}

function acceso(Puente $puente): void
{
    [$status, $text] = $puente->call('GET', '/pide/ping', null, null);
    holds('ping says its mode', $status === 200 && preg_match('/^pong modo: (PROD|DEV|DEV_LOCALHOST)$/', $text) === 1, $text);
    [$status, $text] = $puente->call('POST', '/pide/autenticacion', ['userAccessApi' => 'no_es_la_llave'], null);
    holds('a wrong userAccessApi is refused with 401 in plain text', $status === 401 && json_decode($text) === null, $text);
    $token = $puente->token();
    holds('the token is a JWT of HS256', json_decode(base64_decode(explode('.', $token)[0]))->alg === 'HS256', $token);
    $forged = substr($token, 0, -4) . (str_ends_with($token, 'AAAA') ? 'BBBB' : 'AAAA');
    foreach ([null, $forged] as $wrong) {
        [$status] = $puente->call('POST', '/pide/despacho/enviado', [], $wrong);
        holds('a POST without a token in force is refused with 401', $status === 401, $status);
    }
    [$status] = $puente->call('GET', "/local/documento/despachado/1/$forged", null, null);
    holds('a GET with a forged token is refused with 401', $status === 401, $status);
    $found = [];
    for ($category = 1; $category <= 8; $category++) {
        $listed = $puente->get("/pide/consultar/lista/entidades/$category");
        holds("category $category is listed", $listed['estado'] === '0000' && is_array($listed['data']), $listed);
        $found = array_merge($found, array_column($listed['data'], 'vrucent'));
    }
    holds('the destination is among the entities', in_array(destino(), $found, true), $found);
}

function envio(Puente $puente, string $numero): void
{
    $sent = $puente->post('/pide/despacho/enviado', despacho($numero));
    holds('a document is sent', $sent['estado'] === '0000' && $sent['error'] === null && is_string($sent['data']), $sent);
    $again = $puente->post('/pide/despacho/enviado', despacho($numero));
    // Here the same document is told again that it arrived; another server says that the number was sent.
    holds('it is not sent twice', in_array($again['estado'], ['0001', 'E002'], true), $again);
    $local = $puente->get("/local/documento/despachado/$numero");
    holds('its local copy has the same PDF', base64_decode($local['data']['bpdfdoc'], true) === pdf(), $local['estado']);
    holds('and its fields', $local['data']['vrucentrec'] === destino() && $local['data']['snumanx'] === 2
        && $local['data']['vcuo'] !== null && $local['data']['cflgest'] === 'E'
        && array_column($local['data']['lstDocAnexo'], 'vnomdoc') === ['anexo 01', 'anexo 02'], $local['data']['vcuo']);
    $asked = $puente->get('/pide/consultar/recepcion/' . destino() . "/$numero");
    holds('its receiver has it and has not answered', $asked['estado'] === '0000' && $asked['data']['vcodres'] === '0000'
        && $asked['data']['cflgest'] === 'P', $asked);
    $none = $puente->get("/local/documento/despachado/{$numero}9");
    holds('what was never sent is not found', $none['estado'] === 'E001' && $none['data'] === null, $none);
}

function subsanacion(Puente $puente, string $numero, string $observed): void
{
    $cargo = $puente->get("/local/cargo/despachado/$observed");
    holds('the observed one has its cargo', str_starts_with((string) base64_decode($cargo['data']['bcarstdrec'], true), '%PDF')
        && $cargo['data']['cflgest'] === 'O' && $cargo['data']['vobs'] !== null, $cargo['estado']);
    $sent = $puente->post('/pide/despacho/subsanado', ['vnumregstdref' => $observed] + despacho($numero));
    holds('its correction is sent', $sent['estado'] === '0000' && $sent['error'] === null, $sent);
    $local = $puente->get("/local/documento/despachado/$numero");
    $corrected = $puente->get("/local/documento/despachado/$observed");
    holds('and names it', $local['data']['vcuoref'] === $corrected['data']['vcuo'], $local['data']['vcuoref']);
    holds('which is corrected now', $corrected['data']['cflgest'] === 'S', $corrected['data']['cflgest']);
}

function cargo(Puente $puente, string $numero): void
{
    $asked = $puente->get('/pide/consultar/recepcion/' . destino() . "/$numero");
    holds('the receiver gives the cargo', $asked['estado'] === '0000' && $asked['data']['cflgest'] === 'R'
        && str_starts_with((string) base64_decode($asked['data']['bcarstd'], true), '%PDF'), $asked['estado']);
    $local = $puente->get("/local/cargo/despachado/$numero");
    holds('the local copy is the same', $local['data']['bcarstdrec'] === $asked['data']['bcarstd']
        && $local['data']['vnumregstdrec'] === $asked['data']['vnumregstd'] && $local['data']['cflgest'] === 'R', $local['estado']);
}

function respuesta(Puente $puente, string $taken, string $objected): void
{
    $document = $puente->get("/local/documento/recepcionado/$taken");
    holds('the document that arrived is on record', $document['estado'] === '0000' && $document['data']['cflgest'] === 'P'
        && str_starts_with((string) base64_decode($document['data']['bpdfdoc'], true), '%PDF'), $document['estado']);
    $answer = ['vnumregstd' => $taken, 'vuniorgstd' => 'UNIDAD', 'ccoduniorgstd' => 'COD001', 'vusuregstd' => 'ROSA ÑAHUI',
        'bcarstd' => base64_encode(pdf())];
    $wrong = $puente->post('/pide/cargo/recepcionado', $answer + ['vobs' => 'x']);
    holds('an acceptance has no observation', $wrong['estado'] === 'EV01', $wrong);
    $done = $puente->post('/pide/cargo/recepcionado', $answer);
    holds('its cargo is issued', $done['estado'] === '0000' && $done['error'] === null, $done);
    $again = $puente->post('/pide/cargo/recepcionado', $answer);
    holds('and not twice', in_array($again['estado'], ['0001', 'E001'], true), $again);
    $local = $puente->get("/local/cargo/recepcionado/$taken");
    holds('it is on record', base64_decode($local['data']['bcarstd'], true) === pdf() && $local['data']['cflgest'] === 'R',
        $local['estado']);

    $answer = ['vnumregstd' => $objected] + $answer;
    $wrong = $puente->post('/pide/cargo/observado', $answer);
    holds('an observation says why', $wrong['estado'] === 'EV01', $wrong);
    $done = $puente->post('/pide/cargo/observado', $answer + ['vobs' => 'Falta la firma']);
    holds('a document is observed', $done['estado'] === '0000' && $done['error'] === null, $done);
    $local = $puente->get("/local/cargo/recepcionado/$objected");
    holds('with its reason', $local['data']['vobs'] === 'Falta la firma' && $local['data']['cflgest'] === 'O', $local['estado']);
    $none = $puente->post('/pide/cargo/recepcionado', ['vnumregstd' => "{$taken}9"] + $answer);
    holds('what never arrived is not answered', $none['estado'] === 'E001', $none);
}

$puente = new Puente();
$part = $argv[1] ?? '';
$numbers = array_slice($argv, 2);
match ($part) {
    'acceso' => acceso($puente),
    'envio' => envio($puente, ...$numbers),
    'subsanacion' => subsanacion($puente, ...$numbers),
    'cargo' => cargo($puente, ...$numbers),
    'respuesta' => respuesta($puente, ...$numbers),
    default => throw new RuntimeException("no such part: $part"),
};
