#version 300 es
// A pixel out of memory where two beside each other are one texel: luma, blue chroma, luma, red chroma.
precision highp float;
precision highp int;

uniform highp sampler2D memory;

vec3 bt601(vec3 samples);

vec3 pixel(ivec2 at) {
    vec4 pair = texelFetch(memory, ivec2(at.x / 2, at.y), 0);
    return bt601(255.0 * vec3((at.x & 1) == 0 ? pair.r : pair.b, pair.ga));
}
