<?php
/* JSON to what PHP's SOAP takes, and back: see call.php. */

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
