# words WORDS COMMAND…: of what a failing command says only these words: the rest is each runtime's own.
words() {
	words=$1
	shift
	"$@" >said 2>&1 || code=$?
	grep -o "$words" said || cat said
	return "${code:-0}"
}
# The engine tells a terminal's size after the start.
SIZE='until stty size 2>/dev/null | grep -x "20 70"; do sleep 0.1; done'
# terminal COMMAND: on a terminal of 20 rows at which nobody types.
terminal() {
	test -p typing || mkfifo typing
	SHELL=/bin/sh script -qec "stty rows 20 cols 70; $1" /dev/null 0<>typing
}
