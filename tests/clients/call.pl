#!/usr/bin/perl
# Calls one operation of a SOAP service with SOAP::Lite.
#
#     call.pl WSDL_URL OPERATION ARGUMENTS.json
#
# ARGUMENTS is a JSON object. In it {"bytes_of": "path"} stands for the bytes of a file and {"base64_of": "path"} for the
# base64 text of those bytes. SOAP::Lite knows of document/literal no more than how to write it, so its callers name each
# element themselves; from the WSDL come the address, the namespace and SOAPAction. The answer goes to the standard output as
# JSON, with documents (their outer layer untouched) as {"base64": "..."}; a fault as {"fault": code, "text": ...}.
use strict;
use warnings;
use utf8;

use JSON::PP;
use LWP::UserAgent;
use MIME::Base64 qw(encode_base64);
use SOAP::Lite;
use XML::Parser;

# The elements of type xs:base64Binary.
my %BINARY = map { $_ => 1 } qw(bpdfdoc bcarstd);

# What the WSDL says of the service's address and namespace.
sub description {
    my ($wsdl) = @_;
    my $answer = LWP::UserAgent->new->get($wsdl);
    die $answer->status_line, "\n" unless $answer->is_success;
    my %found;
    my $start = sub {
        my (undef, $name, %attributes) = @_;
        $found{namespace} = $attributes{targetNamespace} if $name =~ /definitions$/;
        $found{address} = $attributes{location} if $name =~ /:address$/;
    };
    XML::Parser->new(Handlers => { Start => $start })->parse($answer->decoded_content(charset => 'none'));
    return %found;
}

sub content {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;
    return scalar <$file>;
}

# The elements for a JSON object; a list is an element for each of its items.
sub elements {
    my ($object) = @_;
    my @elements;
    for my $name (sort keys %$object) {
        my $value = $object->{$name};
        push @elements, map { element($name, $_) } ref $value eq 'ARRAY' ? @$value : ($value);
    }
    return @elements;
}

sub element {
    my ($name, $value) = @_;
    my $element = SOAP::Data->name($name);
    # Its lines stay as encode_base64 breaks them, at 76 columns.
    return $element->type(string => encode_base64(content($value->{bytes_of})))
        if ref $value && exists $value->{bytes_of};
    return $element->type(string => encode_base64(encode_base64(content($value->{base64_of}), '')))
        if ref $value && exists $value->{base64_of};
    return $element->value(\SOAP::Data->value(elements($value))) if ref $value;
    # Without a type SOAP::Lite would send what is not ASCII in base64.
    return $element->type(string => $value);
}

sub printable {
    my ($value, $name) = @_;
    return { map { $_ => printable($value->{$_}, $_) } keys %$value } if ref $value;
    return $value unless defined $value && $BINARY{ $name // '' };
    return { base64 => $value =~ s/\s//gr };
}

my ($wsdl, $operation, $path) = @ARGV;
my %service = description($wsdl);
my $arguments = decode_json(content($path));
my $soap = SOAP::Lite->proxy($service{address})->ns($service{namespace}, 'w')->on_action(sub { '""' });
$soap->on_fault(sub { my (undef, $fault) = @_; ref $fault ? $fault : die $fault, "\n" });
my $answer = $soap->call($operation, elements($arguments));
my $result =
    $answer->fault
    ? { fault => $answer->faultcode, text => $answer->faultstring }
    : printable($answer->result);
print JSON::PP->new->utf8->allow_nonref->encode($result);
