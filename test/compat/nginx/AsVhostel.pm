# Runs the tests of nginx (https://github.com/nginx/nginx-tests, unmodified) against vhostel: loaded before a test, it takes
# the place of what starts and stops the server in their lib/Test/Nginx.pm. In the folder of the tests:
#
#     prove --exec "perl -I VHOSTEL/test/compat/nginx -MAsVhostel" http_host.t range.t ...
#
# Instead of the nginx.conf that a test writes, vhostel is given the files in `ports/NAME-OF-THE-TEST`, in which `%%TESTDIR%%`
# and `%%PORT_8080%%` stand for what they stand for in nginx.conf. A test without such a file is skipped. Scores are of
# the assertions of the tests alone, without the two on the log of nginx that their library adds, and `http_get` and `http_head` of
# that library end their lines with CR LF, because vhostel refuses LF alone.
#
# Limits: Linux, one server a test; what one `location` of a server has of its own does not exist in vhostel.
package AsVhostel;

use warnings;
use strict;

use Cwd qw/ abs_path /;
use File::Basename qw/ basename dirname /;
use File::Path qw/ make_path rmtree /;
use POSIX qw/ WNOHANG /;
use Test::More qw//;

my $here = dirname(abs_path(__FILE__));
my $command = "$here/../../../bin/vhostel.js";

# Before the test asks for it, so that this one is what it gets.
require "./lib/Test/Nginx.pm";
$INC{'Test/Nginx.pm'} = './lib/Test/Nginx.pm';

my $test = basename($0, '.t');
my $port_file = "$here/ports/$test";
Test::More::plan(skip_all => "$test has no port to vhostel") unless -e $port_file;

$Test::Nginx::NGINX = $^X; # has to be there, and is not run

no warnings qw/ redefine prototype /;

*Test::Nginx::has = sub { $_[0] };
*Test::Nginx::has_module = sub { $_[1] ne 'LibreSSL' };
*Test::Nginx::has_version = sub { 1 };

*Test::Nginx::plan = sub {
	my ($self, $count) = @_;
	Test::More::plan(tests => $count);
	return $self;
};

*Test::Nginx::run = sub {
	my ($self) = @_;
	my $dir = $self->testdir();
	write_port($self);
	my $pid = fork() // die "fork: $!\n";
	if ($pid == 0) {
		open STDOUT, '>', "$dir/error.log";
		open STDERR, '>&', \*STDOUT;
		exec('node', $command, 'serve', '--config', config_of($self) . '/vhostel.ini') or die "node: $!\n";
	}
	$self->{_vhostel} = $pid;
	wait_for($self, $pid);
	return $self;
};

*Test::Nginx::stop = sub {
	my ($self) = @_;
	my $pid = delete $self->{_vhostel} // return $self;
	kill 'TERM', $pid;
	waitpid($pid, 0);
	return $self;
};

*Test::Nginx::DESTROY = sub {
	my ($self) = @_;
	local $?;
	return if $self->{_pid} != $$;
	$self->stop();
	$self->stop_daemons();
	print STDERR $self->read_file('error.log') if $ENV{TEST_NGINX_CATLOG};
	rmtree([$self->testdir(), config_of($self)]) unless $ENV{TEST_NGINX_LEAVE};
};

for my $method (qw/ GET HEAD /) {
	no strict 'refs';
	*{'Test::Nginx::http_' . lc $method} = sub ($;%) {
		my ($url, %extra) = @_;
		return Test::Nginx::http("$method $url HTTP/1.0\r\nHost: localhost\r\n\r\n", %extra);
	};
}

sub config_of {
	my ($self) = @_;
	return $self->testdir() . '.vhostel';
}

# Takes a port apart: `=== path` begins each of its files. They come into a folder beside that of the test, whose
# files may be served.
sub write_port {
	my ($self) = @_;
	my $folder = basename(config_of($self));
	open my $in, '<', $port_file or die "$port_file: $!\n";
	local $/;
	my (undef, %files) = split /^=== (\S+)\n/m, <$in>;
	for my $file (sort keys %files) {
		make_path(dirname(config_of($self) . "/$file"));
		$self->write_file_expand("../$folder/$file", $files{$file});
	}
}

# It serves when its admin socket is there.
sub wait_for {
	my ($self, $pid) = @_;
	for (1 .. 600) {
		return if -S config_of($self) . '/run/admin.sock';
		last if waitpid($pid, WNOHANG) != 0;
		select undef, undef, undef, 0.05;
	}
	die "vhostel does not start:\n" . $self->read_file('error.log');
}

1;
