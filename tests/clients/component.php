<?php
/*
 * An entity's component, answered by PHP's SoapServer from the published description: somebody else's honest work, for the
 * conformance suite to judge.
 *
 *     FOLDER=… RUC=… php -S 127.0.0.1:PORT component.php
 *
 * What it takes is kept in FOLDER as files.
 */

declare(strict_types=1);

const TEXTS = __DIR__ . '/component.json';

function characters(string $text): int
{
    return (int) preg_match_all('/./su', $text);
}

final class Component
{
    private array $texts;
    private string $folder;

    public function __construct()
    {
        $this->texts = json_decode(file_get_contents(TEXTS), true, 512, JSON_THROW_ON_ERROR);
        $this->folder = (string) getenv('FOLDER');
    }

    private function answer(string $code, string $text): array
    {
        return ['return' => ['vcodres' => $code, 'vdesres' => $text]];
    }

    public function recepcionarTramiteResponse(object $p): array
    {
        $r = $p->recepcionRequest ?? null;
        if ($r === null) {
            throw new SoapFault('Client', 'Falta recepcionRequest');
        }
        $wrong = $this->judge($r);
        if ($wrong !== null) {
            return $this->answer('0003', $wrong);
        }
        $cuo = trim($r->vcuo);
        $said = sha1(serialize($r));
        $lock = fopen("{$this->folder}/lock", 'c');
        flock($lock, LOCK_EX);
        $file = "{$this->folder}/" . sha1("{$r->vrucentrem} $cuo") . '.json';
        $known = is_file($file) ? json_decode(file_get_contents($file), true) : null;
        if ($known === null) {
            file_put_contents($file, json_encode(['cuo' => $cuo, 'said' => $said]));
            file_put_contents("{$this->folder}/cuo-" . sha1($cuo), $cuo);
        }
        flock($lock, LOCK_UN);
        if ($known !== null && $known['said'] !== $said) {
            return $this->answer('0003', $this->texts['cuo'][1]);
        }
        return $this->answer('0000', sprintf($this->texts['disposicion'], $cuo));
    }

    /** The text of the first defect. */
    private function judge(object $r): ?string
    {
        $t = $this->texts;
        $of = fn (string $name): string => trim((string) ($r->$name ?? ''));
        foreach (['vrucentrem' => 'remitente', 'vrucentrec' => 'receptora'] as $name => $texts) {
            if ($of($name) === '') {
                return $t[$texts][0];
            }
            if (!preg_match('/^\d{11}$/', $of($name))) {
                return $t[$texts][1];
            }
        }
        if ($of('vrucentrec') !== getenv('RUC')) {
            return $t['receptora'][2];
        }
        foreach ($t['textos'] as [$name, $max, $missing, $long]) {
            if ($of($name) === '') {
                return $missing;
            }
            if (characters($of($name)) > $max) {
                return $long;
            }
        }
        $person = ['1' => [8, $t['dni']], '2' => [9, $t['carne']]][$of('ctipdociderem')] ?? null;
        if ($person === null) {
            return $t['tipo_identidad'];
        }
        if (!preg_match("/^\d{{$person[0]}}$/", $of('vnumdociderem'))) {
            return $person[1];
        }
        if (strtotime($of('dfecdoc')) > time() + 300) {
            return $t['futura'];
        }
        return $this->document((string) ($r->bpdfdoc ?? '')) ?? $this->rest($r, $of);
    }

    private function rest(object $r, callable $of): ?string
    {
        $t = $this->texts;
        if ((int) $of('snumfol') < 1) {
            return $t['folios'][0];
        }
        if ((int) $of('snumfol') > 99999) {
            return $t['folios'][1];
        }
        $list = array_values(array_filter((array) ($r->lstanexos ?? []), fn ($a) => get_object_vars($a) !== []));
        $stated = (int) $of('snumanx');
        if ($stated > 0 && $list === []) {
            return $t['anexos'][2];
        }
        if ($stated !== count($list)) {
            return $t['anexos'][$stated < count($list) ? 0 : 1];
        }
        $url = $of('vurldocanx');
        if ($stated > 0 && $url === '') {
            return $t['url'][0];
        }
        if (characters($url) > 200) {
            return $t['url'][1];
        }
        foreach ($list as $annex) {
            $name = trim((string) ($annex->vnomdoc ?? ''));
            if ($name === '' || characters($name) > 100) {
                return $t['anexo'][$name === '' ? 0 : 1];
            }
        }
        if ($of('vcuo') === '') {
            return $t['cuo'][0];
        }
        foreach (['vcuo' => 1, 'vcuoref' => 2] as $name => $text) {
            if ($of($name) !== '' && !preg_match('/^\d{1,10}$/', $of($name))) {
                return $t['cuo'][$text];
            }
        }
        return null;
    }

    /** SoapServer has taken the outer layer off. */
    private function document(string $bytes): ?string
    {
        if ($bytes === '') {
            return $this->texts['pdf'][0];
        }
        $pdf = fn (string $b): bool => strpos(substr($b, 0, 1024), '%PDF') !== false;
        if ($pdf($bytes)) {
            return null;
        }
        $inner = base64_decode(preg_replace('/\s+/', '', $bytes), true);
        if ($inner === false) {
            return $this->texts['pdf'][1];
        }
        return $pdf($inner) ? null : $this->texts['pdf'][2];
    }

    public function consultarTramiteResponse(object $p): array
    {
        $request = $p->request ?? null;
        $cuo = trim((string) (is_object($request) ? ($request->vcuo ?? '') : $request));
        if ($cuo === '' || !is_file("{$this->folder}/cuo-" . sha1($cuo))) {
            return $this->answer('0001', 'DATOS NO ENCONTRADOS');
        }
        $found = ['vcodres' => '0000', 'vdesres' => 'DATOS ENCONTRADOS', 'vcuo' => $cuo, 'cflgest' => 'P'];
        return ['return' => $found];
    }

    public function cargoResponse(object $p): array
    {
        return $this->answer('-1', 'NO SE PUDO REGISTRAR EL CARGO');
    }
}

$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if ($path !== '/wsiotramite/Tramite') {
    http_response_code(404);
    exit;
}
$address = "http://{$_SERVER['HTTP_HOST']}$path";
$description = str_replace('{address}', $address, file_get_contents(__DIR__ . '/../../wsdl/entity/Tramite.wsdl'));
if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    header('Content-Type: text/xml; charset=utf-8');
    echo $description;
    exit;
}
if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    http_response_code(405);
    exit;
}
$file = getenv('FOLDER') . '/' . getmypid() . '.wsdl';
file_put_contents($file, $description);
$server = new SoapServer($file, [
    'soap_version' => SOAP_1_1,
    'cache_wsdl' => WSDL_CACHE_NONE,
    'features' => SOAP_SINGLE_ELEMENT_ARRAYS,
]);
$server->setObject(new Component());
$server->handle();
