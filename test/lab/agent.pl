#!/usr/bin/perl
# Runs commands for the bench, which speaks to it over a virtio port; test/lab/agent.ts is the other end. Needs perl-base alone.
# A frame, either way, is the number of a command (32 bits), a letter, the length of what follows (32 bits), big-endian.
# To here: r(un) argv with NUL between, i(nput), e(nd of input), k(ill) signal, "-" before it for the whole process group.
# From here: o(utput), e(rrors), x(it) with the status as waitpid(2) gives it.
use strict;
use warnings;
use Fcntl;
use POSIX ();

open my $port, '+<', '/dev/virtio-ports/nestbox.lab' or die "the bench's port: $!";
$SIG{PIPE} = $SIG{CHLD} = 'IGNORE';
my (%commands, $received);
$received = '';
syswrite $port, "\0nestbox-lab: the agent listens\0";

sub send_frame {
	my ($number, $kind, $data) = @_;
	my $frame = pack('NaN', $number, $kind, length $data) . $data;
	while (length $frame) {
		my $written = syswrite $port, $frame;
		die "the bench's port: $!" unless defined $written;
		substr $frame, 0, $written, '';
	}
}

sub start {
	my ($number, @argv) = @_;
	pipe my $stdin, my $input;
	pipe my $output, my $stdout;
	pipe my $errors, my $stderr;
	pipe my $status, my $told;
	# Its parent is a process that only waits, so that an exit is something to select on, too.
	unless (fork) {
		$SIG{CHLD} = 'DEFAULT';
		close $_->{input} for grep { $_->{input} } values %commands;
		close $input;
		my $pid = fork;
		unless ($pid) {
			POSIX::setsid();
			$SIG{PIPE} = 'DEFAULT';
			open STDIN, '<&', $stdin;
			open STDOUT, '>&', $stdout;
			open STDERR, '>&', $stderr;
			exec { $argv[0] } @argv or syswrite STDERR, "$argv[0]: $!\n";
			POSIX::_exit(127);
		}
		syswrite $told, pack 'N', $pid;
		waitpid $pid, 0;
		syswrite $told, pack 'N', $?;
		POSIX::_exit(0);
	}
	sysread $status, my $pid, 4;
	# What it starts may live on and hold its pipes open: after its exit, what is there is read, and no more is waited for.
	fcntl $_, F_SETFL, O_NONBLOCK for $input, $output, $errors;
	$commands{$number} = { input => $input, pending => '', ended => 0, o => $output, e => $errors, status => $status, pid => unpack('N', $pid) };
}

sub pass_on {
	my ($number, $command, $kind) = @_;
	my $length = sysread $command->{$kind}, my $data, 32768;
	send_frame($number, $kind, $data) if $length;
	delete $command->{$kind} if defined $length && $length == 0;
	return $length;
}

sub handle {
	my ($number, $kind, $data) = @_;
	return start($number, split /\0/, $data, -1) if $kind eq 'r';
	my $command = $commands{$number} or return;
	$command->{pending} .= $data if $kind eq 'i';
	$command->{ended} = 1 if $kind eq 'e';
	kill $data, $command->{pid} if $kind eq 'k';
}

for (;;) {
	my ($readable, $writable) = ('', '');
	vec($readable, fileno $port, 1) = 1;
	for my $command (values %commands) {
		vec($readable, fileno $_, 1) = 1 for grep { $_ } @$command{qw(o e status)};
		next unless $command->{input};
		close delete $command->{input} if $command->{ended} && $command->{pending} eq '';
		vec($writable, fileno $command->{input}, 1) = 1 if $command->{pending} ne '';
	}
	select $readable, $writable, undef, undef;
	for my $number (keys %commands) {
		my $command = $commands{$number};
		if ($command->{input} && vec $writable, fileno $command->{input}, 1) {
			my $written = syswrite $command->{input}, $command->{pending}, 65536;
			if (defined $written) { substr $command->{pending}, 0, $written, '' }
			elsif (!$!{EAGAIN}) { $command->{pending} = ''; $command->{ended} = 1 }
		}
		for my $kind ('o', 'e') {
			pass_on($number, $command, $kind) if $command->{$kind} && vec $readable, fileno $command->{$kind}, 1;
		}
		next unless vec $readable, fileno $command->{status}, 1;
		sysread $command->{status}, my $word, 4;
		for my $kind ('o', 'e') {
			1 while $command->{$kind} && pass_on($number, $command, $kind);
		}
		send_frame($number, 'x', unpack 'N', $word);
		delete $commands{$number};
	}
	next unless vec $readable, fileno $port, 1;
	sysread $port, $received, 65536, length $received or die "the bench's port: $!";
	while (length $received >= 9) {
		my ($number, $kind, $length) = unpack 'NaN', $received;
		last if length $received < 9 + $length;
		handle($number, $kind, substr $received, 9, $length);
		substr $received, 0, 9 + $length, '';
	}
}
