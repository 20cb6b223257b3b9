<?php
/*
 * What the scripts of an SGD ask of a bridge: authenticate once, then one call at a time, as JSON, with the token in the
 * header of a POST and at the end of the address of a GET. By curl, or with PUENTE_HTTP=stream by PHP's own streams, which
 * are the two ways such scripts are written.
 */

declare(strict_types=1);

final class Puente
{
    private string $base;
    private ?string $token = null;

    public function __construct()
    {
        $base = getenv('PUENTE_URL');
        if ($base === false || $base === '') {
            fwrite(STDERR, "PUENTE_URL is missing: http://HOST:PORT/componente-proxy/rest\n");
            exit(2);
        }
        $this->base = rtrim($base, '/');
    }

    /** @return array{int, string} status and body */
    public function call(string $method, string $path, ?array $params, ?string $token): array
    {
        $headers = ['Content-type: application/json'];
        if ($token !== null) {
            $headers[] = "Authorization: Bearer {$token}";
        }
        $body = $params === null ? '' : json_encode($params);
        return getenv('PUENTE_HTTP') === 'stream'
            ? $this->stream($method, $this->base . $path, $headers, $body)
            : $this->curl($method, $this->base . $path, $headers, $body);
    }

    private function stream(string $method, string $url, array $headers, string $body): array
    {
        $options = ['method' => $method, 'header' => implode("\r\n", $headers), 'content' => $body, 'ignore_errors' => true,
            'timeout' => 90];
        $answer = file_get_contents($url, false, stream_context_create(['http' => $options]));
        if ($answer === false) {
            throw new RuntimeException("no answer from $url");
        }
        return [(int) explode(' ', $http_response_header[0])[1], $answer];
    }

    private function curl(string $method, string $url, array $headers, string $body): array
    {
        $curl = curl_init($url);
        curl_setopt_array($curl, [CURLOPT_CUSTOMREQUEST => $method, CURLOPT_HTTPHEADER => $headers,
            CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 90, CURLOPT_NOPROXY => '*']);
        if ($method === 'POST') {
            curl_setopt($curl, CURLOPT_POSTFIELDS, $body);
        }
        $answer = curl_exec($curl);
        if ($answer === false) {
            throw new RuntimeException(curl_error($curl));
        }
        return [(int) curl_getinfo($curl, CURLINFO_RESPONSE_CODE), $answer];
    }

    public function token(): string
    {
        if ($this->token === null) {
            $access = getenv('PUENTE_ACCESO') ?: 'user_access_api';
            $answer = $this->answer($this->call('POST', '/pide/autenticacion', ['userAccessApi' => $access], null));
            if ($answer['error'] !== null) {
                throw new RuntimeException($answer['error']);
            }
            $this->token = $answer['data'];
        }
        return $this->token;
    }

    public function post(string $path, array $params): array
    {
        return $this->answer($this->call('POST', $path, $params, $this->token()));
    }

    public function get(string $path): array
    {
        return $this->answer($this->call('GET', $path . '/' . $this->token(), null, null));
    }

    private function answer(array $response): array
    {
        [$status, $body] = $response;
        $answer = json_decode($body, true);
        if ($status !== 200 || !is_array($answer) || !array_key_exists('estado', $answer)
            || !array_key_exists('data', $answer) || !array_key_exists('error', $answer)) {
            throw new RuntimeException("HTTP $status: " . substr($body, 0, 400));
        }
        return $answer;
    }
}
