<?php
/*
 * The platform's three services, answered by PHP's SoapServer from the published descriptions.
 *
 *     FOLDER=… php -S 127.0.0.1:PORT server.php
 *
 * FOLDER/OPERATION.json is what an operation answers, in the form that call.php describes; each call is added to
 * FOLDER/calls as a line of JSON, {"operation", "arguments"}.
 */

declare(strict_types=1);

require __DIR__ . '/values.php';

final class Service
{
    public function __call(string $operation, array $arguments): array
    {
        $folder = getenv('FOLDER');
        $line = ['operation' => $operation, 'arguments' => printable($arguments[0] ?? null)];
        $text = json_encode($line, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
        file_put_contents("$folder/calls", $text . "\n", FILE_APPEND);
        $answer = json_decode(file_get_contents("$folder/$operation.json"), true, 512, JSON_THROW_ON_ERROR);
        return ['return' => argument($answer)];
    }
}

$name = basename(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (!in_array($name, ['PcmCuo', 'PcmIMgdEntidad', 'PcmIMgdTramite'], true)) {
    http_response_code(404);
    exit;
}
$address = "http://{$_SERVER['HTTP_HOST']}/services/$name";
$description = str_replace('{address}', $address, file_get_contents(__DIR__ . "/../../wsdl/production/$name.wsdl"));
if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    header('Content-Type: text/xml; charset=utf-8');
    echo $description;
    exit;
}
$file = getenv('FOLDER') . "/$name.wsdl";
file_put_contents($file, $description);
$server = new SoapServer($file, [
    'soap_version' => SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
]);
$server->setObject(new Service());
$server->handle();
