<?php
/*
 * An SGD that is told of documents and cargos, under `php -S`: /recepcion answers a number of registration, /cargo takes a
 * letter. Writes a line for each to SGD_REGISTRO; lets in SGD_USUARIO with SGD_CLAVE alone.
 */

declare(strict_types=1);

header('Content-Type: application/json; charset=UTF-8');
$in = ($_SERVER['PHP_AUTH_USER'] ?? '') === getenv('SGD_USUARIO') && ($_SERVER['PHP_AUTH_PW'] ?? '') === getenv('SGD_CLAVE');
if ($_SERVER['REQUEST_METHOD'] !== 'POST' || !$in) {
    http_response_code(401);
    exit;
}

function note(array $line): void
{
    file_put_contents(getenv('SGD_REGISTRO'), json_encode($line, JSON_UNESCAPED_UNICODE) . "\n", FILE_APPEND | LOCK_EX);
}

switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/recepcion':
        $pdf = base64_decode($_POST['bpdfdoc'] ?? '', true);
        if ($pdf === false || !str_starts_with($pdf, '%PDF')) {
            echo json_encode(['estado' => '-1', 'data' => null, 'error' => 'sin documento']);
            break;
        }
        $fields = $_POST;
        unset($fields['bpdfdoc']);
        $numero = 'R' . $fields['vcuo'];
        note(['suceso' => 'recepcion', 'numero' => $numero, 'sha256' => hash('sha256', $pdf)] + $fields);
        echo json_encode(['estado' => '0000', 'data' => ['vnumregstd' => $numero], 'error' => '']);
        break;
    case '/cargo':
        note(['suceso' => 'cargo'] + $_POST);
        echo json_encode(['estado' => '0000', 'data' => '', 'error' => '']);
        break;
    default:
        http_response_code(404);
}
