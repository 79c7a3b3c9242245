#version 300 es
// A pixel out of memory in a format that the driver itself turns into red, green and blue. Where that
// takes several planes, Mesa can do it for coordinates from 0 to 1 only.
#extension GL_OES_EGL_image_external_essl3 : require
precision highp float;
precision highp int;

uniform highp samplerExternalOES memory;
// Width and height of the memory.
uniform highp vec2 size;

vec3 pixel(ivec2 at) {
    return texture(memory, (vec2(at) + 0.5) / size).rgb;
}
