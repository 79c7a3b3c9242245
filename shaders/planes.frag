#version 300 es
// A pixel out of two planes: luma, and chroma for each two by two pixels.
precision highp float;
precision highp int;

uniform highp sampler2D memory;
uniform highp sampler2D chroma;
// How many levels of eight bits the largest sample is.
uniform highp float levels;

vec3 bt601(vec3 samples);

vec3 pixel(ivec2 at) {
    float luma = texelFetch(memory, at, 0).r;
    return bt601(levels * vec3(luma, texelFetch(chroma, at / 2, 0).rg));
}
