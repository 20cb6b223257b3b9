<?php
/*
 * Calls one operation of a SOAP service with PHP's SoapClient, from its WSDL alone.
 *
 *     call.php WSDL_URL OPERATION ARGUMENTS.json
 *
 * ARGUMENTS is a JSON object. In it {"bytes_of": "path"} stands for the bytes of a file and {"base64_of": "path"} for the
 * base64 text of those bytes; SoapClient encodes xs:base64Binary itself, so the latter travels encoded twice. The answer
 * goes to the standard output as JSON, with bytes (what SoapClient decoded once) as {"base64": "..."}; a fault as
 * {"fault": code, "text": ...}.
 */

declare(strict_types=1);

require __DIR__ . '/values.php';

// A warning (a file that cannot be read, an answer that cannot be decoded) is a failure.
set_error_handler(function (int $level, string $message): never {
    fwrite(STDERR, $message . "\n");
    exit(1);
});

[, $wsdl, $operation, $path] = $argv;
$arguments = argument(json_decode(file_get_contents($path), true, 512, JSON_THROW_ON_ERROR));
$client = new SoapClient($wsdl, [
    'soap_version' => SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'exceptions' => true,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
]);
try {
    $answer = printable($client->__soapCall($operation, [$arguments]));
    // zeep, too, hands out what is inside the wrapper.
    $answer = is_array($answer) && array_key_exists('return', $answer) ? $answer['return'] : $answer;
} catch (SoapFault $fault) {
    $answer = ['fault' => $fault->faultcode, 'text' => $fault->faultstring];
}
echo json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES);
