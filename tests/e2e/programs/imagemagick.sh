# Large buffers, aligned ones, and OpenMP's threads.
command=convert-im6.q16
names='^(ResizeMagickMemory|Acquire|SetImage|png_)'

run() {
    "$@" convert-im6.q16 -size 600x400 gradient:red-blue -swirl 90 -blur 0x3 -rotate 33 -resize 300x200 -depth 8 rgb:- | cksum
    echo "exit status ${PIPESTATUS[0]}"
    "$@" convert-im6.q16 -size 200x200 plasma:fractal -seed 7 -resize 50% -format '%wx%h %m\n' info:
    "$@" convert-im6.q16 -size 300x300 'radial-gradient:white-black' -depth 8 "$work/a.png"
    "$@" convert-im6.q16 "$work/a.png" -edge 2 -quality 80 "$work/b.jpg"
    "$@" convert-im6.q16 "$work/b.jpg" -colors 16 -define png:exclude-chunks=date,tIME -depth 8 gray:- | cksum
    "$@" convert-im6.q16 "$work/none.png" "$work/c.png" 2>&1 | sed 's/@ .*//'
    echo "exit status ${PIPESTATUS[0]}"
}
