#version 300 es
// A pixel of the picture, upright, out of memory where it may lie upside down; nothing is filtered.
precision highp float;
precision highp int;

uniform highp sampler2D memory;
// Where in memory the picture's top left pixel lies.
uniform highp ivec2 first;
// Whether the next row of the picture is the next in memory (1) or the one before (-1).
uniform highp int down;

out vec4 colour;

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    colour = vec4(texelFetch(memory, first + ivec2(at.x, down * at.y), 0).rgb, 1.0);
}
