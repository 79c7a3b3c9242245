
// A pixel of the picture, upright, out of memory where it may lie upside down; nothing is filtered.

// Where in memory the picture's top left pixel lies.
uniform highp ivec2 first;
// Whether the next row of the picture is the next in memory (1) or the one before (-1).
uniform highp int down;
// Whether blue comes first: XRGB8888, to whom OpenGL says that it is red.
uniform bool blue_first;

out vec4 colour;

void main() {
    ivec2 at = ivec2(gl_FragCoord.xy);
    vec3 rgb = pixel(first + ivec2(at.x, down * at.y));
    colour = vec4(blue_first ? rgb.bgr : rgb, 1.0);
}
