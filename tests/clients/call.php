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

// The elements of type xs:base64Binary: PHP's strings do not tell bytes from text.
const BINARY = ['bpdfdoc', 'bcarstd'];

function argument(mixed $value): mixed
{
    if (!is_array($value)) {
        return $value;
    }
    if (isset($value['bytes_of'])) {
        return file_get_contents($value['bytes_of']);
    }
    if (isset($value['base64_of'])) {
        return base64_encode(file_get_contents($value['base64_of']));
    }
    return array_map(argument(...), $value);
}

function printable(mixed $value, string $name = ''): mixed
{
    if (is_object($value)) {
        $value = get_object_vars($value);
    }
    if (is_array($value)) {
        $printed = [];
        foreach ($value as $key => $item) {
            $printed[$key] = printable($item, (string) $key);
        }
        return $printed;
    }
    if (is_string($value) && in_array($name, BINARY, true)) {
        return ['base64' => base64_encode($value)];
    }
    return $value;
}

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
